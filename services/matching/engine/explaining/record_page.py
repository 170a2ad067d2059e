"""The record as a page in plain French."""

from collections.abc import Mapping
from typing import Any

from services.matching.engine.explaining import markup
from services.matching.engine.sentences import write_hours


def render_record(record: Mapping[str, Any]) -> str:
    """The same as a page in French."""
    about, contribution, versions = record["about"], record["contribution"], record["versions"]
    criteria = [
        (one["label"], one["points"], one["maximum"], one["why"], one["calculation"]) for one in record["parameters"]["criteria"]
    ]
    words = [
        (words["skill"], "besoin" if words["side"] == "need" else "offre", f"« {words['words']} »")
        for one in record["parameters"]["criteria"]
        for words in one["words"]
    ]
    data = [(one["name"], _ABOUT.get(one["about"], one["about"]), _say(one["value"]), one["source"]) for one in record["data"]]
    decided = [
        (step["happened_at"][:16], _DEEDS.get(step["deed"], step["deed"]), step["side"], step["reason"])
        for step in contribution["human_decisions"]
    ]
    return markup.page(
        f"Fiche du calcul : {about['title']}",
        markup.paragraph(
            f"Mission de {write_hours(about['minutes'])}, proposée le {about['proposed_at'][:10]}. Cette fiche dit comment un "
            "traitement algorithmique a contribué à cette proposition."
        ),
        markup.paragraph(record["note"]) if record["note"] else "",
        markup.section(
            "1. Degré et mode de contribution du traitement",
            markup.paragraph(contribution["degree"]), markup.paragraph(contribution["mode"]),
            markup.table("Ce que des personnes ont fait", ("Quand (UTC)", "Quoi", "Qui", "Motif"), decided),
        ),
        markup.section(
            "2. Données traitées et leurs sources", markup.table("Données", ("Donnée", "De qui", "Valeur", "Source"), data)
        ),
        markup.section(
            "3. Paramètres et pondérations appliqués à votre situation",
            markup.paragraph(f"Score : {record['parameters']['score']} sur 100, somme exacte des points ci-dessous."),
            markup.table("Critères", ("Critère", "Points", "Au plus", "Pourquoi", "Calcul (arrondi vers le bas)"), criteria),
            markup.table("Mots des textes", ("Compétence", "Texte", "Mots"), words) if words else "",
        ),
        markup.section("4. Opérations effectuées", *(_render_operation(operation) for operation in record["operations"])),
        markup.section("Comprendre, contester", markup.paragraph(f"Une personne vous répond : {record['contact']}")),
        markup.footer(
            " ; ".join(record["law"]) + ".",
            f"Moteur {versions['engine'] or 'inconnu'}, référentiel {versions['referential'] or 'inconnu'}, "
            f"pondérations version {versions['weights']}. Format {record['format']}.",
            f"Empreinte de la proposition : {record['proposal_digest']}. Empreinte de cette fiche : {record['digest']}.",
        ),
    )  # fmt: skip


_ABOUT = {
    "need": "besoin", "offer": "offre", "volunteer": "personne bénévole", "association": "association", "pair": "les deux",
}  # fmt: skip
_DEEDS = {
    "create": "proposition", "accept": "accord", "agree": "accord de tous", "decline": "refus", "cancel": "annulation",
    "reserve": "crédit réservé", "refuse": "crédit refusé", "start": "début", "report": "relevé d'heures", "close": "clôture",
    "validate": "validation", "dispute": "contestation",
}  # fmt: skip


def _say(value: Any) -> markup.Cell:
    return " ; ".join(map(str, value)) if isinstance(value, list) else value


def _render_operation(operation: Mapping[str, Any]) -> str:
    told = markup.paragraph(f"{operation['what']} {operation['result'] or ''}")
    if "gates" not in operation:
        return told
    rows = [
        (gate["name"], gate["asks"], "remplie" if gate["passed"] else gate.get("sentence", "non remplie"))
        for gate in operation["gates"]
    ]
    return told + markup.table("Conditions", ("Condition", "Ce qui est demandé", "Résultat"), rows)
