"""The page of the rules that an administration publishes (CRPA art. L. 312-1-3), out of what is running.

Every figure comes from the configuration in force: no sentence here repeats a weight by heart.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.matching.domain.weights import WeightsVersion
from services.matching.engine.explaining import markup
from services.matching.engine.explaining.criteria import INPUTS, SOURCES
from services.matching.engine.explaining.freezing import ENGINE_VERSION
from services.matching.engine.explaining.gates import GATES
from services.matching.engine.referential import Referential
from services.matching.engine.rules import LABELS, explain_rules
from services.matching.engine.weights import BOUNDS, CRITERIA, Weights

FORMAT = "metis-matching-rules/1"
NO_TRAIT = (
    "Aucune donnée sensible ni aucun critère protégé par la loi n'entre dans les conditions ou dans le score : ni le nom, ni le "
    "sexe, ni l'âge, ni l'origine, ni la nationalité d'une personne, ni son état de santé, ses opinions, sa religion, son "
    "syndicat ou sa situation de famille. Un lieu ne compte que par sa distance. La liste des données ci-dessous est fermée."
)
HUMAN = (
    "Aucune décision n'est prise par l'algorithme seul : il propose. L'association, la personne bénévole et, pour une offre "
    "professionnelle, l'entreprise disent oui ou non. Une ville ou un opérateur peut écarter ou imposer une proposition."
)
RECORD = (
    "Toute personne concernée par une mission (association, bénévole, entreprise) obtient la fiche de son calcul : degré et mode "
    "de contribution du traitement, données et sources, paramètres et pondérations, opérations (article R. 311-3-1-2). Elle se "
    "lit dans son espace, ou à l'adresse « missions/{identifiant}/record » de cette interface."
)
ROUNDS = (
    "Besoin par besoin : la meilleure offre au score, les égalités allant à l'offre qui a le moins d'heures à perdre.",
    "Tous ensemble : chaque besoin reçoit une mission au plus et aucune offre plus de minutes qu'elle n'en a. Pour une "
    "campagne entière, l'agent demande un calcul d'ensemble, le lit, peut imposer ou écarter des paires, puis l'envoie : rien "
    "ne part avant.",
    "Équité entre associations : l'agent la règle pour chaque calcul d'ensemble, de « le plus de points » à « l'association la "
    "moins servie d'abord » ; le réglage et son effet sont gardés avec le calcul.",
)
_CONSTANTS = {
    "far_km": "distance à partir de laquelle la proximité ne donne plus de points (km)",
    "remote_percent": "part des points de distance pour le travail à distance (%)",
    "near_from_percent": "à partir de quelle part une compétence proche compte (%)",
    "continuity_missions": "missions menées ensemble pour tous les points de continuité",
    "newcomer_missions": "missions à partir desquelles on n'est plus nouveau",
}


def describe_rules(
    *, territory: str, name: str, in_force: WeightsVersion, referential: Referential, contact: str, now: datetime
) -> dict[str, Any]:
    """The whole page as data; see `render_rules`."""
    weights, explained = in_force.weights, explain_rules(in_force.weights)
    return {
        "format": FORMAT,
        "law": "Code des relations entre le public et l'administration, articles L. 312-1-3 et L. 311-3-1",
        "territory": {"code": territory, "name": name},
        "generated_at": now.isoformat(),
        "purpose": explained.purpose,
        "human_decision": HUMAN,
        "no_protected_trait": NO_TRAIT,
        "record": RECORD,
        "contact": contact,
        "versions": {
            "engine": ENGINE_VERSION,
            "referential": referential.version,
            "referential_skills": len(referential.skills),
            "weights": in_force.version,
            "weights_set_at": in_force.set_at.isoformat() if in_force.set_at else None,
            "weights_reason": in_force.reason,
        },
        "gates": [{"kind": kind, "name": gate, "asks": asks, "data": data} for kind, (gate, asks, data) in GATES.items()],
        "criteria": _list_criteria(weights),
        "constants": [
            {"name": key, "meaning": meaning, "value": getattr(weights, key), "bounds": list(BOUNDS[key])}
            for key, meaning in _CONSTANTS.items()
        ],
        "data": list(explained.data),
        "rules": list(explained.rules),
        "choice": list(ROUNDS),
        "weights": asdict(weights),
    }


def _list_criteria(weights: Weights) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "label": LABELS[name],
            "points": weights.of(name),
            "bounds": list(BOUNDS[name]),
            "source": SOURCES[name],
            "measures": list(INPUTS[name]),
        }
        for name in CRITERIA
    ]


def render_rules(rules: Mapping[str, Any]) -> str:
    """The same as a page in French."""
    town, versions = rules["territory"]["name"] or rules["territory"]["code"], rules["versions"]
    gates = [(gate["name"], gate["asks"], gate["data"]) for gate in rules["gates"]]
    criteria = [
        (one["label"], one["points"], f"{one['bounds'][0]} à {one['bounds'][1]}", one["source"]) for one in rules["criteria"]
    ]
    constants = [(one["meaning"], one["value"], f"{one['bounds'][0]} à {one['bounds'][1]}") for one in rules["constants"]]
    reason = f", motif : {versions['weights_reason']}" if versions["weights_reason"] else ""
    in_force = (
        f"Version {versions['weights']}, en vigueur depuis le {versions['weights_set_at'][:10]}{reason}."
        if versions["weights_set_at"]
        else "Version 0 : pondérations d'origine du logiciel, que le territoire n'a pas changées."
    )
    return markup.page(
        f"Comment les missions sont proposées — {town}",
        markup.section("But", markup.paragraph(rules["purpose"]), markup.paragraph(rules["human_decision"])),
        markup.section(
            "Conditions", markup.paragraph("Une offre qui ne les remplit pas toutes n'est pas proposée."),
            markup.table("Conditions (elles ne donnent pas de points)", ("Condition", "Ce qui est demandé", "Données"), gates),
        ),
        markup.section(
            "Score", markup.paragraph(f"Somme de points entiers, arrondis vers le bas, de 0 à 100. {in_force}"),
            markup.table("Critères et pondérations", ("Critère", "Points au plus", "Bornes", "Données et sources"), criteria),
            markup.table("Autres réglages", ("Réglage", "Valeur", "Bornes"), constants),
            markup.bullets(rules["rules"]),
        ),
        markup.section("Choix entre plusieurs possibilités", markup.bullets(rules["choice"])),
        markup.section("Données utilisées", markup.bullets(rules["data"]), markup.paragraph(rules["no_protected_trait"])),
        markup.section("Vos droits", markup.paragraph(rules["record"]), markup.paragraph(f"Écrire à : {rules['contact']}")),
        markup.footer(
            f"{rules['law']}. Moteur {versions['engine']}, référentiel de compétences {versions['referential']} "
            f"({versions['referential_skills']} compétences). Page produite le {rules['generated_at'][:16]} (UTC)."
        ),
    )  # fmt: skip
