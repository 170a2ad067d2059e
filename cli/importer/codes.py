"""French words of the files, and the API's codes for them. Both are accepted."""

from collections.abc import Mapping

ACTOR_KINDS = {
    "association": "association",
    "entreprise": "company",
    "cooperative": "cooperative",
    "mutuelle": "mutual",
    "fondation": "foundation",
    "entreprise_sociale": "social_enterprise",
    "organisme_public": "public_body",
    "tiers_lieu": "third_place",
    "collectif": "collective",
    "operateur": "operator",
}
FIELDS_OF_ACTION = {
    "entrepreneuriat_social": "social_entrepreneurship",
    "participation_citoyenne": "citizen_participation",
    "agriculture": "agriculture",
    "jeunesse": "youth",
    "sport": "sport",
    "education_formation": "education_training",
    "sante": "health",
    "logement": "housing",
    "mobilite": "mobility",
    "culture": "culture",
    "loisirs": "leisure",
    "humanitaire": "humanitarian_aid",
    "action_sociale": "social_action",
}
MEMBER_ROLES = {
    "agent": "officer",
    "operateur": "operator",
    "association": "association",
    "entreprise": "company",
    "benevole": "volunteer",
    "auditeur": "auditor",
}
EXPIRIES = {"retour": "return", "report": "carry_over", "caducite": "lapse"}
SETTINGS = {"professionnel": "professional", "personnel": "personal"}
LOCALES = {"fr": "fr", "en": "en"}
_DAYS = {
    "lundi": "monday", "mardi": "tuesday", "mercredi": "wednesday", "jeudi": "thursday", "vendredi": "friday",
    "samedi": "saturday", "dimanche": "sunday",
}  # fmt: skip
_PARTS = {"matin": "morning", "apres_midi": "afternoon", "soir": "evening"}
WEEK_PARTS = {f"{day}_{part}": f"{code}_{word}" for day, code in _DAYS.items() for part, word in _PARTS.items()}
BOOLEANS = {"oui": True, "non": False, "true": True, "false": False, "1": True, "0": False}


def choices(table: Mapping[str, object]) -> str:
    """The words to show a person: the French ones."""
    return ", ".join(table)
