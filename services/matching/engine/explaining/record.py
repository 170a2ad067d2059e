"""The record that the law gives to whom a proposal concerns (CRPA art. R. 311-3-1-2), in plain French.

Its four parts are those of the article: degree and mode of contribution of the processing; data and their sources;
parameters and their weights, applied to the person's situation; operations carried out. It is built from what was frozen
when the mission was proposed; nothing is computed anew.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from services.matching.domain.missions import Mission
from services.matching.domain.weights import WeightsVersion
from services.matching.engine.explaining.criteria import Criterion, list_criteria
from services.matching.engine.explaining.gates import GATES
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.sentences import write_hours, write_languages

FORMAT = "metis-matching-record/1"
LAW = (
    "Code des relations entre le public et l'administration, articles L. 311-3-1 et R. 311-3-1-2",
    "Règlement (UE) 2016/679, articles 13 à 15 et 22",
)
_DEGREES = {
    "named": "Faible : une personne a désigné l'offre ; le traitement a vérifié les conditions et calculé le score.",
    "best": "Moyen : pour ce besoin, le traitement a cherché les offres possibles et proposé celle du meilleur score.",
    "together": "Moyen : le traitement a choisi cette paire en cherchant pour tous les besoins ouverts ensemble.",
    "round": "Moyen : le traitement a choisi cette paire dans un calcul d'ensemble qu'une personne de la ville a demandé, lu, "
    "puis envoyé.",
    "pinned": "Faible : une personne de la ville a imposé cette paire dans un calcul d'ensemble ; le traitement a vérifié les "
    "conditions et calculé le score.",
}
MODE = (
    "Le traitement propose ; il ne décide pas. Sans l'accord de l'association, de la personne bénévole et, pour une offre "
    "professionnelle, de l'entreprise, il n'y a pas de mission. Chaque côté refuse librement ; une personne répond aux questions."
)
_INCOMPLETE = (
    "Cette mission a été proposée avant que les données du calcul ne soient conservées : seuls le score, ses parties et leurs "
    "raisons le sont."
)

_CONFIRMED = {
    "suggested": ", suggérée d'après le texte puis confirmée", "typed": ", écrite par une personne", "imported": ", importée",
}  # fmt: skip


class Reader(StrEnum):
    """Who asks. The offer's facts beyond the reasons are the volunteer's (and the town's to check), not the association's."""

    ASSOCIATION = "association"
    VOLUNTEER = "volunteer"
    COMPANY = "company"
    TOWN = "town"


_SEES_OFFER = frozenset({Reader.VOLUNTEER, Reader.COMPANY, Reader.TOWN})


def build_record(
    mission: Mission,
    *,
    reader: Reader,
    proposed_at: datetime,
    weights: WeightsVersion | None,
    steps: Iterable[Mapping[str, Any]],
    contact: str,
) -> dict[str, Any]:
    """`steps`: the mission's history, each with deed, side, happened_at, reason, criterion; no names."""
    explanation = mission.explanation
    criteria = list_criteria(mission.parts, explanation)
    record: dict[str, Any] = {
        "format": FORMAT,
        "law": list(LAW),
        "complete": explanation is not None,
        "note": None if explanation is not None else _INCOMPLETE,
        "reader": reader,
        "about": {
            "mission_id": mission.id,
            "need_id": mission.need_id,
            "offer_id": mission.offer_id,
            "campaign_id": mission.campaign_id,
            "title": mission.title,
            "minutes": mission.minutes,
            "state": mission.state,
            "proposed_at": proposed_at,
        },
        "contribution": {
            "round": explanation.get("round") if explanation else None,
            "degree": _tell_degree(explanation),
            "mode": MODE,
            "human_decisions": [_tell_step(step) for step in steps],
        },
        "data": _list_data(mission, reader),
        "parameters": {
            "score": mission.score,
            "criteria": [_tell_criterion(criterion, reader) for criterion in criteria],
            "weights": explanation["weights"] if explanation else None,
        },
        "operations": _list_operations(mission, criteria),
        "versions": {
            "engine": explanation["engine"] if explanation else None,
            "referential": explanation["referential"] if explanation else None,
            "weights": mission.weights_version,
            "weights_set_at": weights.set_at if weights else None,
            "weights_reason": weights.reason if weights else None,
        },
        "contact": contact,
        "proposal_digest": digest(
            {"explanation": explanation, "score": mission.score, "parts": [asdict(p) for p in mission.parts]}
        ),
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(record, default=str))  # UUIDs of the driver
    return plain | {"digest": digest(plain)}


def digest(content: Any) -> str:
    """SHA-256 over the JSON with sorted keys and no spaces, as `sha256:…`."""
    return f"sha256:{hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()}"


def _tell_degree(explanation: Mapping[str, Any] | None) -> str:
    if explanation is None:
        return _DEGREES["best"]
    if (explanation.get("round") or {}).get("pinned"):
        return (
            "Faible : une personne de la ville a imposé cette paire ; le traitement a vérifié les conditions et calculé le score."
        )
    return _DEGREES[explanation["origin"]]


def _tell_step(step: Mapping[str, Any]) -> dict[str, Any]:
    return {name: step.get(name) for name in ("deed", "side", "happened_at", "reason", "criterion")}


def _tell_criterion(criterion: Criterion, reader: Reader) -> dict[str, Any]:
    """The association reads the offer's reasons, not the offer's own text."""
    told = asdict(criterion)
    if reader not in _SEES_OFFER:
        told["words"] = [words for words in criterion.words if words["side"] == "need"]
    return told


def _list_data(mission: Mission, reader: Reader) -> list[dict[str, Any]]:
    """What was processed, and where each came from."""
    explanation = mission.explanation
    if explanation is None:
        return [
            {"name": "raisons conservées", "value": list(mission.reasons), "source": "proposition de mission", "about": "mission"}
        ]
    written_by = "écrit par l'association, qualifié avec l'opérateur"
    found = [_datum(name, value, written_by, "need") for name, value in tell_need(explanation["need"])]
    if reader in _SEES_OFFER:
        found += [_datum(*pair, "écrit par la personne bénévole", "offer") for pair in _tell_offer(explanation["offer"])]
        employed = "connu" if explanation["offer"]["employed"] else "aucun"
        found.append(_datum("rattachement à une organisation", employed, "registre des acteurs de la ville", "volunteer"))
    else:
        hidden = "données personnelles, lues par la personne bénévole et par la ville ; les raisons du score les résument"
        found.append(_datum("offre de compétences", hidden, "écrit par la personne bénévole", "offer"))
    m, matching = explanation["measures"], "missions tenues par la plateforme"
    return [
        *found,
        _datum("heures encore libres de l'offre", write_hours(m["free_minutes"]), matching, "offer"),
        _datum("missions confiées à la personne", m["missions"], matching, "volunteer"),
        _datum("missions menées ensemble sans litige", m["shared_missions"], matching, "volunteer"),
        _datum(
            "heures de l'association sans réponse",
            f"{write_hours(m['unmet_minutes'])} sur {write_hours(m['needed_minutes'])}", matching, "association",
        ),
        _datum(
            "distance", f"{m['metres']} m" if m["metres"] >= 0 else "hors du rayon, ou à distance",
            "calcul à vol d'oiseau entre positions de communes", "pair",
        ),
    ]  # fmt: skip


def _datum(name: str, value: Any, source: str, about: str) -> dict[str, Any]:
    return {"name": name, "value": value, "source": source, "about": about}


def tell_need(need: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("intitulé", need["title"]),
        *_tell_terms(need),
        ("durée", write_hours(need["minutes"])),
        ("dates", f"{need['starts_on']} au {need['ends_on']}"),
        ("cadre demandé", need["setting"] or "indifférent"),
        ("mineurs présents", "oui" if need["with_minors"] else "non"),
        ("charte demandée", "oui" if need["charter_required"] else "non"),
    ]


def _tell_offer(offer: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [
        ("intitulé", offer["title"]),
        *_tell_terms(offer),
        ("heures offertes", write_hours(offer["minutes"])),
        ("dates", f"{offer['available_from']} au {offer['available_until']}"),
        ("rayon", f"{offer['radius_km']} km"),
        ("cadre", offer["setting"]),
        ("charte signée", "oui" if offer["charter_signed"] else "non"),
    ]


def _tell_terms(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    point = " (point précisé)" if facts["has_point"] else ""
    return [
        ("compétences", ", ".join(_tell_skill(skill) for skill in facts["skills"])),
        ("lieu", f"commune {facts['commune']}{point}" if facts["commune"] else "à distance seulement"),
        ("à distance", "oui" if facts["remote"] else "non"),
        ("langues", write_languages(facts["languages"])),
        ("moments de la semaine", ", ".join(facts["week"]) or "tous"),
    ]


def _tell_skill(skill: Mapping[str, Any]) -> str:
    how = _CONFIRMED.get(skill.get("source") or "", "")
    return f"{skill['label']} (niveau {skill['level']}{how})"


def _list_operations(mission: Mission, criteria: Sequence[Criterion]) -> list[dict[str, Any]]:
    """What was done, in its order, with what came of it."""
    explanation = mission.explanation
    summed = " + ".join(str(criterion.points) for criterion in criteria)
    score = {"step": "score", "what": "Somme des points de chaque critère.", "result": f"{summed} = {mission.score} sur 100"}
    if explanation is None:
        return [score]
    compared = explanation["skills"]
    gates = {gate["kind"]: gate for gate in explanation["gates"]}
    return [
        {
            "step": "skills",
            "what": f"Comparaison des compétences confirmées, par le référentiel {explanation['referential'] or '(aucun)'}.",
            "result": ", ".join(
                f"{len(compared[kind])} {word}"
                for kind, word in (("shared", "commune(s)"), ("near", "proche(s)"), ("missing", "absente(s)"))
            ),
        },
        {"step": "gates", "what": "Vérification des conditions ; une seule qui manque écarte l'offre.", "result": None}
        | {
            "gates": [
                {"kind": kind, "name": GATES[kind][0], "asks": GATES[kind][1], "passed": gates[kind]["passed"]}
                | ({"sentence": gates[kind]["sentence"]} if "sentence" in gates[kind] else {})
                for kind in ObstacleKind
                if kind in gates
            ]
        },
        score,
        {"step": "choice", "what": "Choix de la paire.", "result": _tell_degree(explanation)},
    ]  # fmt: skip
