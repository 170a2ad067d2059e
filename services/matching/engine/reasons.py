"""Why an offer fits a need, and why not, in French sentences."""

from services.matching.engine.fit import Fit, ObstacleKind
from services.matching.engine.places import Place, PlaceKind
from services.matching.engine.sentences import count, enumerate_labels, write_distance, write_hours, write_period


def list_reasons(fit: Fit) -> list[str]:
    """What speaks for a fit, and what is less than wished."""
    period = write_period(fit.first_day, fit.last_day)
    return [
        _say_skills(fit),
        _say_place(fit.place, radius_km=fit.candidate.offer.facts.radius_km),
        f"{count(fit.common_days, 'jour commun', 'jours communs')}, {period}",
        _say_minutes(fit),
        _say_load(fit.live_missions),
        *_list_remarks(fit),
    ]


def describe_obstacle(fit: Fit, kind: ObstacleKind) -> str:
    asked, given = fit.need.facts, fit.candidate.offer.facts
    match kind:
        case ObstacleKind.SKILLS:
            return f"aucune compétence commune ; le besoin demande : {enumerate_labels([skill.label for skill in asked.skills])}"
        case ObstacleKind.DATES:
            period, other = (
                write_period(asked.starts_on, asked.ends_on),
                write_period(given.available_from, given.available_until),
            )
            return f"aucun jour commun à venir ; le besoin : {period}, l'offre : {other}"
        case ObstacleKind.PLACE:
            return _say_place(fit.place, radius_km=given.radius_km)
        case ObstacleKind.MINUTES:
            return _say_minutes(fit)
        case ObstacleKind.OWN_ASSOCIATION:
            return "la personne bénévole agit déjà pour cette association"
        case ObstacleKind.TURNED_DOWN:
            return "déjà proposée pour ce besoin, puis déclinée ou annulée"


def _say_skills(fit: Fit) -> str:
    labels = enumerate_labels([skill.label for skill in fit.skills.shared])
    return f"{count(len(fit.skills.shared), 'compétence commune', 'compétences communes')} : {labels}"


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
    distance, names = write_distance(place.distance_km), enumerate_labels(place.names)
    return {
        PlaceKind.SAME: f"dans la même commune : {names}",
        PlaceKind.NEAR: f"à {distance}",
        PlaceKind.REMOTE: "à distance, ce que les deux côtés acceptent",
        PlaceKind.FAR: f"à {distance}, au-delà du rayon de {radius_km} km",
        PlaceKind.NEED_IS_REMOTE: "le besoin se fait à distance seulement, l'offre sur place",
        PlaceKind.OFFER_IS_REMOTE: "l'offre se fait à distance seulement, le besoin sur place",
        PlaceKind.UNKNOWN: f"distance impossible à calculer : commune {names} inconnue du territoire",
    }[place.kind]


def _say_minutes(fit: Fit) -> str:
    """“6 h demandées, 10 h offertes”, and what is left of them when missions have taken some."""
    asked, offered, free = fit.need.facts.minutes, fit.candidate.offer.facts.minutes, fit.candidate.remaining_minutes
    sentence = f"{write_hours(asked)} {_agree('demandée', asked)}, {write_hours(offered)} {_agree('offerte', offered)}"
    return sentence if free == offered else f"{sentence} dont {write_hours(max(0, free))} encore {_agree('libre', free)}"


def _agree(participle: str, minutes: int) -> str:
    """French agrees with the number of hours (or of minutes below an hour); from 2 on it is plural."""
    number = minutes / 60 if minutes >= 60 else minutes
    return participle + "s" if number >= 2 else participle


def _say_load(live_missions: int) -> str:
    if not live_missions:
        return "aucune autre mission en cours ou proposée pour la personne bénévole"
    return f"{count(live_missions, 'autre mission', 'autres missions')} en cours ou proposée{'s' if live_missions > 1 else ''}"
