"""The ledger's words as French readers say them (docs/glossary.md)."""

ACCOUNTS = {
    "promised": "Promis, reste à livrer",
    "delivered": "Livré",
    "pool": "Enveloppe",
    "credit": "Crédit disponible",
    "held": "Réservé",
    "served": "Dépensé",
    "lapsed": "Caduc",
    "carried": "Reporté",
}
TRANSFERS = {
    "pledge": "Promesse",
    "withdraw": "Retrait de promesse",
    "grant": "Dotation",
    "reserve": "Réserve",
    "release": "Réserve rendue",
    "settle": "Heures dépensées",
    "deliver": "Heures livrées",
    "expire": "Échéance",
    "carry": "Report",
    "reverse": "Contre-passation",
}
# To volunteers: what the association spends, they do.
VOLUNTEER_ACCOUNTS = {"held": "Réservé", "served": "Fait"}
VOLUNTEER_TRANSFERS = {**TRANSFERS, "settle": "Heures faites"}
FIELDS_OF_ACTION = {
    "social_entrepreneurship": "Entrepreneuriat social",
    "citizen_participation": "Participation citoyenne",
    "agriculture": "Agriculture",
    "youth": "Jeunesse",
    "sport": "Sport",
    "education_training": "Éducation et formation",
    "health": "Santé",
    "housing": "Logement",
    "mobility": "Mobilité",
    "culture": "Culture",
    "leisure": "Loisirs",
    "humanitarian_aid": "Aide humanitaire",
    "social_action": "Action sociale",
}
# Accounts whose balance is minus what people speak of.
_OWED = frozenset({"promised", "delivered"})


def shown_minutes(kind: str, minutes: int) -> int:
    """A balance as people read it: what a contributor promised or delivered is not a negative number to them."""
    return -minutes if kind in _OWED else minutes
