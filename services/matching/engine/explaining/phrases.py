"""Changes as French sentences: « si le besoin était possible à distance », « avec 3 h au lieu de 6 h »."""

from collections.abc import Sequence

from services.matching.domain.shared import Setting
from services.matching.domain.week import week_mask
from services.matching.engine.explaining.changes import Change, ChangeKind
from services.matching.engine.explaining.search import Cure, Cures
from services.matching.engine.fit import Fit
from services.matching.engine.sentences import count, write_hours, write_languages, write_period, write_week

SIDES = {
    ChangeKind.RADIUS: "volunteer",
    ChangeKind.OFFER_REMOTE: "volunteer",
    ChangeKind.CHARTER: "volunteer",
    ChangeKind.MINORS: "town",
    ChangeKind.PANEL: "town",
}
_SETTINGS = {Setting.PROFESSIONAL: "professionnel", Setting.PERSONAL: "personnel"}
_PLAIN = {
    ChangeKind.REMOTE: "si le besoin était possible à distance",
    ChangeKind.OFFER_REMOTE: "si la personne bénévole acceptait de travailler à distance",
    ChangeKind.CHARTER: "si la personne bénévole signait la charte de partenariat",
    ChangeKind.MINORS: "si la ville avait contrôlé l'honorabilité de la personne bénévole",
    ChangeKind.PANEL: "si l'association était admise au panel de la campagne",
}


def find_side(change: Change) -> str:
    """Whose change it is: association, volunteer or town."""
    return SIDES.get(change.kind, "association")


def say_change(change: Change, fit: Fit) -> str:  # noqa: PLR0911 - a sentence a kind
    """One change; `fit` is the pair as it is, before it."""
    asked, given = fit.need.facts, fit.candidate.offer.facts
    match change.kind:
        case ChangeKind.LONGER:
            end = "en finissant" if change.days > 0 else "en commençant"
            return f"{end} {_say_days(change.days)}"
        case ChangeKind.SHIFT:
            return f"en décalant le besoin {_say_shift(change.days)}"
        case ChangeKind.RADIUS:
            return f"si le rayon de l'offre était de {change.kilometres} km au lieu de {given.radius_km} km"
        case ChangeKind.WEEK:
            return f"si le besoin était possible aussi le {write_week(week_mask(change.parts))}"
        case ChangeKind.MINUTES:
            return f"avec {write_hours(change.minutes)} au lieu de {write_hours(asked.minutes)}"
        case ChangeKind.LANGUAGE:
            languages = write_languages(change.languages)
            if set(change.languages) == set(asked.languages):
                return f"si le besoin acceptait une autre langue ({write_languages(given.languages)}) que {languages}"
            return f"si le besoin se passait de cette langue : {languages}"
        case ChangeKind.SKILL:
            label = change.skill.label if change.skill else ""
            near = f", qui vaut {change.percent} % d'une compétence demandée" if change.percent else ", du même domaine"
            return f"si le besoin acceptait la compétence « {label} »{near}"
        case ChangeKind.SETTING:
            return f"si le besoin acceptait aussi une compétence à titre {_SETTINGS[given.setting]}"
        case _:
            return _PLAIN[change.kind]


def say_cure(cure: Cure) -> str:
    """All of its changes in one sentence, with the days in common that come of it."""
    changes = " et ".join(say_change(change, cure.before) for change in cure.changes)
    days = ""
    if any(change.days for change in cure.changes):
        days = f" (jours communs alors : {write_period(cure.after.first_day, cure.after.last_day)})"
    return f"{changes[0].upper()}{changes[1:]}{days}."


def say_conclusion(cures: Cures) -> str:
    """What the search came to."""
    looked_at = count(cures.offers, "offre ouverte examinée", "offres ouvertes examinées")
    if not cures.offers:
        return "Aucune offre n'est ouverte : aucun changement du besoin ne peut suffire."
    if cures.fitting:
        fitting = count(len(cures.fitting), "offre convient déjà", "offres conviennent déjà")
        return f"{looked_at} : {fitting}, sans rien changer."
    if cures.cures:
        return f"{looked_at} : aucune ne convient. {say_cure(cures.cures[0]).rstrip('.')}, une offre conviendrait."
    return f"{looked_at} : aucune ne convient, et aucun changement d'une ou de deux sortes n'y suffirait."


def say_sides(sides: Sequence[str]) -> str:
    names = {"association": "l'association", "volunteer": "la personne bénévole", "town": "la ville"}
    return " et ".join(names[side] for side in dict.fromkeys(sides))


def _say_days(days: int) -> str:
    return f"{_say_number(abs(days))} plus {'tard' if days > 0 else 'tôt'}"


def _say_shift(days: int) -> str:
    number = _say_number(abs(days))
    amount = f"d'{number}" if number.startswith("une") else f"de {number}"
    return f"{amount} {'plus tard' if days > 0 else 'plus tôt'}"


def _say_number(days: int) -> str:
    """Whole weeks as weeks."""
    if days % 7 == 0:
        return "une semaine" if days == 7 else f"{days // 7} semaines"
    return count(days, "jour")
