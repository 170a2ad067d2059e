"""Why an offer fits a need, point by point, and why not: French sentences."""

from collections.abc import Mapping
from dataclasses import replace

from services.matching.domain.missions import ScorePart
from services.matching.domain.shared import Commune, Setting
from services.matching.domain.week import week_mask
from services.matching.engine.fit import Fit
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.places import Place, PlaceKind
from services.matching.engine.score import score_place
from services.matching.engine.sentences import (
    count,
    enumerate_labels,
    write_distance,
    write_hours,
    write_languages,
    write_period,
    write_week,
)
from services.matching.engine.weights import (
    AVAILABILITY,
    CONTINUITY,
    DISTANCE,
    MINUTES,
    NEAR,
    NEWCOMER,
    SKILLS,
    UNMET,
)

_SETTINGS = {Setting.PROFESSIONAL: "professionnel", Setting.PERSONAL: "personnel"}


def list_reasons(fit: Fit) -> list[str]:
    """What speaks for a fit, and what is less than wished."""
    sentences = [_say_skills(fit)] if fit.skills.shared else []
    sentences += [_say_near(fit)] if fit.skills.near else []
    sentences += [_say_place(fit.place, radius_km=fit.candidate.offer.facts.radius_km), _say_days(fit)]
    sentences += [_say_week(fit)] if fit.need.facts.week or fit.candidate.offer.facts.week else []
    sentences += [_say_minutes(fit), _say_missions(fit.measures.missions)]
    sentences += [_say_continuity(fit.measures.shared_missions)] if fit.measures.shared_missions else []
    return sentences + _list_remarks(fit)


def explain_parts(fit: Fit) -> tuple[ScorePart, ...]:
    """The parts of the score, each with the data that gave its points."""
    why = {
        SKILLS: _say_skills(fit) if fit.skills.shared else "aucune compétence demandée telle quelle",
        NEAR: _say_near(fit) if fit.skills.near else "aucune à compter",
        DISTANCE: _say_scored_place(fit),
        AVAILABILITY: _say_availability(fit),
        MINUTES: _say_minutes(fit),
        CONTINUITY: _say_continuity(fit.measures.shared_missions),
        NEWCOMER: _say_missions(fit.measures.missions),
        UNMET: _say_unmet(fit),
    }
    return tuple(replace(part, why=why[part.name]) for part in fit.parts)


_PLAIN = {
    ObstacleKind.PANEL: "l'association n'est pas au panel de la campagne",
    ObstacleKind.MINORS: "avec des mineurs : la ville n'a pas (encore) contrôlé l'honorabilité de la personne bénévole",
    ObstacleKind.CHARTER: "la charte de partenariat est demandée, et n'est pas signée",
    ObstacleKind.OWN_ASSOCIATION: "la personne bénévole agit déjà pour cette association",
    ObstacleKind.CONFLICT: "la personne bénévole a déclaré un lien avec cette association",
    ObstacleKind.TURNED_DOWN: "déjà proposée pour ce besoin, puis déclinée ou annulée",
}


def describe_obstacle(fit: Fit, kind: ObstacleKind) -> str:  # noqa: PLR0911 - a sentence a gate
    """What a gate says of this pair, with the data that it looked at."""
    asked, given = fit.need.facts, fit.candidate.offer.facts
    match kind:
        case ObstacleKind.SKILLS:
            return f"aucune compétence commune ; le besoin demande : {enumerate_labels([skill.label for skill in asked.skills])}"
        case ObstacleKind.DATES:
            period = write_period(asked.starts_on, asked.ends_on)
            other = write_period(given.available_from, given.available_until)
            return f"aucun jour commun à venir ; le besoin : {period}, l'offre : {other}"
        case ObstacleKind.WEEK:
            week, other = write_week(week_mask(asked.week)), write_week(week_mask(given.week))
            return f"aucun moment de la semaine en commun ; le besoin : {week}, l'offre : {other}"
        case ObstacleKind.DISTANCE | ObstacleKind.MODE:
            return _say_place(fit.place, radius_km=given.radius_km)
        case ObstacleKind.LANGUAGE:
            missing = [language for language in asked.languages if language not in given.languages]
            return f"{'langue manquante' if len(missing) == 1 else 'langues manquantes'} : {write_languages(missing)}"
        case ObstacleKind.MINUTES:
            return _say_minutes(fit)
        case ObstacleKind.SETTING:
            wanted = _SETTINGS[asked.setting] if asked.setting else "indifférent"
            return f"le besoin demande une compétence à titre {wanted}, l'offre est à titre {_SETTINGS[given.setting]}"
        case _:
            return _PLAIN[kind]


def describe_venue(fit: Fit, communes: Mapping[str, Commune]) -> str:
    """Where it is done: “Sceaux”, “à distance”, or either."""
    need = fit.need.facts
    if fit.place.kind is PlaceKind.REMOTE or need.commune is None:
        return "à distance"
    name = known.name if (known := communes.get(need.commune)) else need.commune
    return f"{name}, ou à distance" if need.remote and fit.candidate.offer.facts.remote else name


def _say_skills(fit: Fit) -> str:
    labels = enumerate_labels([skill.label for skill in fit.skills.shared])
    return f"{count(len(fit.skills.shared), 'compétence commune', 'compétences communes')} : {labels}"


def _say_near(fit: Fit) -> str:
    """“2 compétences proches : tableur pour comptabilité (50 %), …”"""
    pairs = [f"{near.offered_label} pour {near.label} ({near.percent} %)" for near in fit.skills.near]
    return f"{count(len(pairs), 'compétence proche', 'compétences proches')} : {enumerate_labels(pairs)}"


def _list_remarks(fit: Fit) -> list[str]:
    """What is less than wished, and yet no obstacle."""
    remarks = [
        f"à noter, niveau {skill.offered} pour {skill.wanted} souhaité : {skill.label}"
        for skill in fit.skills.shared
        if skill.offered < skill.wanted
    ]
    if fit.skills.missing:
        missing = enumerate_labels([skill.label for skill in fit.skills.missing])
        number = count(len(fit.skills.missing), "compétence non couverte", "compétences non couvertes")
        remarks.append(f"à noter, {number} : {missing}")
    return remarks


def _say_place(place: Place, *, radius_km: int) -> str:
    distance, names = write_distance(max(0, place.metres) / 1000), enumerate_labels(place.names)
    return {
        PlaceKind.SAME: f"dans la même commune : {names}",
        PlaceKind.NEAR: f"à {distance}",
        PlaceKind.REMOTE: "à distance, ce que les deux côtés acceptent",
        PlaceKind.FAR: f"à {distance}, au-delà du rayon de {radius_km} km",
        PlaceKind.NEED_IS_REMOTE: "le besoin se fait à distance seulement, l'offre sur place",
        PlaceKind.OFFER_IS_REMOTE: "l'offre se fait à distance seulement, le besoin sur place",
        PlaceKind.UNKNOWN: f"distance impossible à calculer : commune {names} inconnue",
    }[place.kind]


def _say_scored_place(fit: Fit) -> str:
    """The place that gave the points: at a distance may give more than far away on the spot."""
    said = _say_place(fit.place, radius_km=fit.candidate.offer.facts.radius_km)
    metres, remote = fit.place.reached_metres, fit.measures.remote
    if (
        metres >= 0
        and remote
        and score_place(-1, remote=True, weights=fit.weights) > score_place(metres, remote=False, weights=fit.weights)
    ):
        return f"{said} ; à distance, ce que les deux côtés acceptent, compte davantage"
    return said


def _say_days(fit: Fit) -> str:
    if not fit.measures.common_days:
        return "aucun jour commun"
    period = write_period(fit.first_day, fit.last_day)
    return f"{count(fit.measures.common_days, 'jour commun', 'jours communs')}, {period}"


def _say_week(fit: Fit) -> str:
    return f"dans la semaine : {write_week(fit.common_week)}"


def _say_availability(fit: Fit) -> str:
    days = f"{_say_days(fit)}, sur {count(fit.measures.wanted_days, 'jour')}"
    if not fit.need.facts.week:
        return days
    return f"{days} ; {fit.measures.common_parts} des {fit.measures.wanted_parts} moments de la semaine demandés"


def _say_minutes(fit: Fit) -> str:
    """“6 h demandées, 10 h offertes”, and what is left of them when missions have taken some."""
    asked, offered, free = fit.need.facts.minutes, fit.candidate.offer.facts.minutes, fit.candidate.remaining_minutes
    sentence = f"{write_hours(asked)} {_agree('demandée', asked)}, {write_hours(offered)} {_agree('offerte', offered)}"
    return sentence if free == offered else f"{sentence} dont {write_hours(max(0, free))} encore {_agree('libre', free)}"


def _agree(participle: str, minutes: int) -> str:
    """French agrees with the number of hours (or of minutes below an hour); from 2 on it is plural."""
    number = minutes / 60 if minutes >= 60 else minutes
    return participle + "s" if number >= 2 else participle


def _say_missions(missions: int) -> str:
    if not missions:
        return "aucune autre mission confiée à la personne bénévole"
    return f"{count(missions, 'autre mission confiée', 'autres missions confiées')} à la personne bénévole"


def _say_continuity(missions: int) -> str:
    if not missions:
        return "pas encore de mission menée ensemble"
    return f"{count(missions, 'mission déjà menée', 'missions déjà menées')} ensemble, sans litige"


def _say_unmet(fit: Fit) -> str:
    unmet, needed = fit.measures.unmet_minutes, fit.measures.needed_minutes
    if not needed:
        return "aucune heure demandée jusqu'ici par l'association"
    return f"{write_hours(unmet)} sur {write_hours(needed)} que l'association demande attendent encore"
