"""The record of a need that nobody serves: why nothing was proposed, with the four parts of CRPA art. R. 311-3-1-2.

A proposal freezes what it was made of; where there is none, nothing was frozen. This record is therefore computed when it is
asked for, over the offers that are open then, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from services.matching.domain.needs import Need
from services.matching.domain.weights import WeightsVersion
from services.matching.engine.explaining import markup
from services.matching.engine.explaining.criteria import SOURCES
from services.matching.engine.explaining.freezing import ENGINE_VERSION, list_facts
from services.matching.engine.explaining.gates import GATES
from services.matching.engine.explaining.phrases import say_conclusion, say_cure
from services.matching.engine.explaining.record import LAW, MODE, digest, tell_need
from services.matching.engine.explaining.search import Cures
from services.matching.engine.gates import ObstacleKind
from services.matching.engine.rules import LABELS
from services.matching.engine.sentences import count, write_hours
from services.matching.engine.weights import CRITERIA

FORMAT = "metis-matching-need-record/1"
_DEGREE = (
    "Le traitement vérifie, pour chaque offre ouverte, si toutes les conditions sont remplies, et ne propose que celles-là. "
    "L'opérateur ou la ville peuvent proposer eux-mêmes une offre possible."
)


def build_need_record(
    need: Need,
    cures: Cures,
    *,
    complete: bool,
    past_missions: Mapping[str, int],
    limits: Sequence[str],
    in_force: WeightsVersion,
    referential: str,
    contact: str,
    now: datetime,
) -> dict[str, Any]:
    """`past_missions`: how many missions of this need ended in which state."""
    record = {
        "format": FORMAT,
        "law": list(LAW),
        "note": f"Calculé à la demande, le {now.isoformat()[:16]} (UTC), sur les offres ouvertes à cet instant.",
        "about": {
            "need_id": need.id,
            "campaign_id": need.campaign_id,
            "title": need.facts.title,
            "minutes": need.facts.minutes,
            "state": need.state,
            "computed_at": now,
        },
        "contribution": {"degree": _DEGREE, "mode": MODE},
        "data": [
            {"name": name, "value": value, "source": "écrit par l'association, qualifié avec l'opérateur", "about": "need"}
            for name, value in tell_need(list_facts(need.facts, version=need.version))
        ]
        + [
            {
                "name": "offres ouvertes examinées",
                "value": cures.offers if complete else f"{cures.offers}, les plus proches par leurs compétences",
                "source": "écrites par les personnes bénévoles ; aucune n'est montrée ici",
                "about": "offer",
            }
        ],
        "parameters": {
            "criteria": [
                {"name": name, "label": LABELS[name], "maximum": in_force.weights.of(name), "source": SOURCES[name]}
                for name in CRITERIA
            ],
            "weights": asdict(in_force.weights),
        },
        "operations": [
            {
                "step": "gates",
                "what": "Vérification des conditions, offre par offre ; une offre peut en manquer plusieurs.",
                "result": f"{count(len(cures.fitting), 'offre possible', 'offres possibles')} sur {cures.offers}",
                "gates": [
                    {"kind": kind, "name": GATES[kind][0], "asks": GATES[kind][1], "offers": cures.blocked.get(kind, 0)}
                    for kind in ObstacleKind
                ],
            },
            {
                "step": "smallest_change",
                "what": "Recherche du plus petit changement qui rendrait une offre possible, vérifié par les mêmes conditions.",
                "result": say_conclusion(cures),
                "changes": [{"sentence": say_cure(cure), "cost": cure.cost} for cure in cures.cures],
            },
            {
                "step": "credit",
                "what": "Comparaison au crédit de l'association, tel que le grand livre l'a fait connaître.",
                "result": " ; ".join(limits) or "rien ne s'y oppose, autant qu'on sache",
            },
            {
                "step": "past",
                "what": "Missions déjà proposées pour ce besoin, puis refusées, déclinées ou annulées.",
                "result": str(sum(past_missions.values())),
                "states": dict(past_missions),
            },
        ],
        "versions": {
            "engine": ENGINE_VERSION,
            "referential": referential,
            "weights": in_force.version,
            "weights_set_at": in_force.set_at,
            "weights_reason": in_force.reason,
        },
        "contact": contact,
    }
    plain: dict[str, Any] = orjson.loads(orjson.dumps(record, default=str))
    return plain | {"digest": digest(plain)}


def render_need_record(record: Mapping[str, Any]) -> str:
    """The same as a page in plain French."""
    about, versions, (gates, changes, credit, past) = record["about"], record["versions"], record["operations"]
    return markup.page(
        f"Pourquoi rien n'est proposé : {about['title']}",
        markup.paragraph(f"Besoin de {write_hours(about['minutes'])}. {record['note']}"),
        markup.paragraph(changes["result"]),
        markup.section(
            "1. Degré et mode de contribution du traitement",
            markup.paragraph(record["contribution"]["degree"]), markup.paragraph(record["contribution"]["mode"]),
        ),
        markup.section(
            "2. Données traitées et leurs sources",
            markup.table(
                "Données", ("Donnée", "Valeur", "Source"), [(one["name"], one["value"], one["source"]) for one in record["data"]]
            ),
        ),
        markup.section(
            "3. Paramètres et pondérations",
            markup.table(
                "Critères du score", ("Critère", "Points au plus", "Données"),
                [(one["label"], one["maximum"], one["source"]) for one in record["parameters"]["criteria"]],
            ),
        ),
        markup.section(
            "4. Opérations effectuées",
            markup.paragraph(f"{gates['what']} {gates['result']}."),
            markup.table(
                "Offres arrêtées par chaque condition", ("Condition", "Ce qui est demandé", "Offres arrêtées"),
                [(one["name"], one["asks"], one["offers"]) for one in gates["gates"]],
            ),
            markup.paragraph(changes["what"]), markup.bullets(change["sentence"] for change in changes["changes"]),
            markup.paragraph(f"{credit['what']} {credit['result']}."), markup.paragraph(f"{past['what']} {past['result']}"),
        ),
        markup.section("Comprendre, contester", markup.paragraph(f"Une personne vous répond : {record['contact']}")),
        markup.footer(
            " ; ".join(record["law"]) + ".",
            f"Moteur {versions['engine']}, référentiel {versions['referential']}, pondérations version {versions['weights']}. "
            f"Format {record['format']}. Empreinte : {record['digest']}.",
        ),
    )  # fmt: skip
