"""All that decides a round, as canonical bytes: the same campaign gives the same bytes, in whatever order rows come.

The bytes are JSON (keys sorted, no blanks, rows sorted by id), their digest SHA-256. They hold no title, no free text and no
name: what the gates and the score look at, and nothing else. Skills bear the codes they were resolved to, and what is near
to what is written beside them, so that neither needs the referential of the day.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from typing import Any
from uuid import UUID

from services.matching.domain.needs import Need, NeedFacts, Unmet
from services.matching.domain.offers import Candidate, Offer, OfferFacts
from services.matching.domain.rounds import Means, RoundTerms
from services.matching.domain.shared import Commune, Point, Setting, Skill
from services.matching.domain.states import NeedState, OfferState
from services.matching.domain.week import WeekPart
from services.matching.engine.comparison import find_key
from services.matching.engine.referential import Referential
from services.matching.engine.rounds.faults import InputsUnreadable
from services.matching.engine.surroundings import Surroundings
from services.matching.engine.weights import Weights

FORMAT = 1
_UNREAD = frozenset({"title", "description"})
_DAYS = frozenset({"starts_on", "ends_on", "available_from", "available_until", "honorability_checked_on"})

Pairs = frozenset[tuple[UUID, UUID]]
"""(need, offer)."""


@dataclass(frozen=True)
class CampaignInputs:
    """`needs` and `candidates` sorted by id; `surroundings` as far as they matter to these needs and offers."""

    campaign_id: UUID
    terms: RoundTerms
    needs: tuple[Need, ...]
    candidates: tuple[Candidate, ...]
    surroundings: Surroundings
    means: Means
    pins: Pairs = frozenset()
    exclusions: Pairs = frozenset()


def freeze_inputs(inputs: CampaignInputs) -> CampaignInputs:
    """The inputs in order, with what they depend on cut to what matters: what `decode_inputs` reads back."""
    referential = inputs.surroundings.referential
    needs = tuple(
        replace(need, facts=_freeze_need(need.facts, referential)) for need in sorted(inputs.needs, key=lambda need: need.id)
    )
    candidates = tuple(
        replace(candidate, offer=replace(candidate.offer, facts=_freeze_offer(candidate.offer.facts, referential)))
        for candidate in sorted(inputs.candidates, key=lambda candidate: candidate.offer.id)
    )
    surroundings = _cut(inputs, needs, candidates)
    need_ids, offer_ids = {need.id for need in needs}, {candidate.offer.id for candidate in candidates}
    return replace(
        inputs,
        needs=needs,
        candidates=candidates,
        surroundings=surroundings,
        means=_cut_means(inputs.means, needs, candidates),
        exclusions=frozenset(pair for pair in inputs.exclusions if pair[0] in need_ids and pair[1] in offer_ids),
    )


def try_weights(inputs: CampaignInputs, weights: Weights) -> CampaignInputs:
    """Frozen inputs with these weights, which are no version, and nothing else changed."""
    return replace(
        inputs,
        terms=replace(inputs.terms, weights_version=None),
        surroundings=replace(inputs.surroundings, weights=weights, weights_version=None),
    )


def encode_inputs(inputs: CampaignInputs) -> bytes:
    """The canonical bytes of frozen inputs."""
    around = inputs.surroundings
    content = {
        "format": FORMAT,
        "campaign_id": inputs.campaign_id,
        "terms": asdict(inputs.terms),
        "today": around.today,
        "weights": asdict(around.weights),
        "weights_version": around.weights_version,
        "referential": around.referential.version,
        "near": around.referential.near_percents,
        "communes": {insee: [place.name, place.latitude, place.longitude] for insee, place in around.communes.items()},
        "panel": sorted(around.panels[inputs.campaign_id]) if inputs.campaign_id in around.panels else None,
        "turned_down": sorted(around.turned_down),
        "worked_together": sorted([*pair, missions] for pair, missions in around.worked_together.items()),
        "unmet": sorted([asso, unmet.unmet_minutes, unmet.needed_minutes] for (_, asso), unmet in around.unmet.items()),
        "needs": [_write_need(need) for need in inputs.needs],
        "offers": [_write_candidate(candidate) for candidate in inputs.candidates],
        "means_known": inputs.means.known,
        "credit": sorted([*pair] for pair in inputs.means.credit.items()),
        "promise": sorted([*pair] for pair in inputs.means.promise.items()),
        "pins": sorted(inputs.pins),
        "exclusions": sorted(inputs.exclusions),
    }
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()


def digest_bytes(canonical: bytes) -> str:
    return hashlib.sha256(canonical).hexdigest()


def compress(canonical: bytes) -> bytes:
    return zlib.compress(canonical, 6)


def decompress(stored: bytes) -> bytes:
    return zlib.decompress(stored)


def decode_inputs(canonical: bytes) -> CampaignInputs:
    """What `encode_inputs` wrote. Raises InputsUnreadable for another format, or for bytes that are none."""
    try:
        content = json.loads(canonical)
    except ValueError as error:
        raise InputsUnreadable(f"Ces données ne sont pas les entrées d'un calcul : {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputsUnreadable(f"Ces entrées sont d'un autre format que {FORMAT} ; prenez la version de metis qui les a écrites.")
    campaign_id = UUID(content["campaign_id"])
    surroundings = Surroundings(
        today=date.fromisoformat(content["today"]),
        communes={insee: Commune(*place) for insee, place in content["communes"].items()},
        turned_down=_pairs(content["turned_down"]),
        panels={} if content["panel"] is None else {campaign_id: frozenset(map(UUID, content["panel"]))},
        worked_together={(UUID(who), UUID(asso)): missions for who, asso, missions in content["worked_together"]},
        unmet={(campaign_id, UUID(asso)): Unmet(unmet, needed) for asso, unmet, needed in content["unmet"]},
        referential=_make_referential(content["referential"], content["near"]),
        weights=Weights(**content["weights"]),
        weights_version=content["weights_version"],
    )
    return CampaignInputs(
        campaign_id=campaign_id,
        terms=RoundTerms(**content["terms"]),
        needs=tuple(_read_need(row, campaign_id) for row in content["needs"]),
        candidates=tuple(_read_candidate(row) for row in content["offers"]),
        surroundings=surroundings,
        means=Means(
            content["means_known"],
            {UUID(id): minutes for id, minutes in content["credit"]},
            {UUID(id): minutes for id, minutes in content["promise"]},
        ),
        pins=_pairs(content["pins"]),
        exclusions=_pairs(content["exclusions"]),
    )


# ---- Cutting to what matters ----------------------------------------------------------------------------------------


def _freeze_need(facts: NeedFacts, referential: Referential) -> NeedFacts:
    return replace(facts, title="", description="", skills=_freeze_skills(facts.skills, referential))


def _freeze_offer(facts: OfferFacts, referential: Referential) -> OfferFacts:
    return replace(facts, title="", description="", skills=_freeze_skills(facts.skills, referential))


def _freeze_skills(skills: Iterable[Skill], referential: Referential) -> tuple[Skill, ...]:
    """What is compared, without who confirmed it and from which words."""
    return tuple(Skill(skill.label, skill.level, skill.code or referential.find_code(skill.label)) for skill in skills)


def _cut(inputs: CampaignInputs, needs: tuple[Need, ...], candidates: tuple[Candidate, ...]) -> Surroundings:
    around = inputs.surroundings
    communes = {one.facts.commune for one in needs} | {one.offer.facts.commune for one in candidates}
    offer_ids, volunteers = {one.offer.id for one in candidates}, {one.offer.volunteer_id for one in candidates}
    associations, need_ids = {need.association_id for need in needs}, {need.id for need in needs}
    unmet = {asso: around.unmet.get((inputs.campaign_id, asso), Unmet(0, 0)) for asso in associations}
    return replace(
        around,
        communes={insee: place for insee in sorted(filter(None, communes)) if (place := around.communes.get(insee))},
        turned_down=frozenset(pair for pair in around.turned_down if pair[0] in need_ids and pair[1] in offer_ids),
        panels={id: members & associations for id, members in around.panels.items() if id == inputs.campaign_id},
        worked_together={
            pair: number for pair, number in around.worked_together.items() if pair[0] in volunteers and pair[1] in associations
        },
        unmet={(inputs.campaign_id, asso): found for asso, found in unmet.items()},
        referential=_cut_referential(around, needs, candidates),
    )


def _cut_referential(around: Surroundings, needs: tuple[Need, ...], candidates: tuple[Candidate, ...]) -> Referential:
    """What is near between skills that are asked for and skills that are given."""
    referential = around.referential
    asked = {find_key(skill, referential) for need in needs for skill in need.facts.skills}
    given = {find_key(skill, referential) for candidate in candidates for skill in candidate.offer.facts.skills}
    near = {
        key: {other: percent for other, percent in sorted(others.items()) if other in given}
        for key, others in sorted(referential.near_percents.items())
        if key in asked
    }
    return _make_referential(referential.version, {key: others for key, others in near.items() if others})


def _make_referential(version: str, near: Mapping[str, Mapping[str, int]]) -> Referential:
    """A referential that knows only what is near to what: codes are resolved already."""
    made = Referential(version, {}, {})
    # Where `cached_property` keeps what it computed.
    made.__dict__.update(near_percents={key: dict(others) for key, others in near.items()}, code_of_label={})
    return made


def _cut_means(means: Means, needs: tuple[Need, ...], candidates: tuple[Candidate, ...]) -> Means:
    if not means.known:
        return Means(known=False)
    holders = {one.offer.volunteer_id for one in candidates} | {one.employer_id for one in candidates}
    credit = {asso: means.credit_of(asso) or 0 for asso in {need.association_id for need in needs}}
    return Means(True, credit, {id: max(0, minutes) for id, minutes in means.promise.items() if id in holders})


# ---- Rows -----------------------------------------------------------------------------------------------------------


def _write_facts(facts: NeedFacts | OfferFacts) -> dict[str, Any]:
    skills = [[skill.label, skill.level, skill.code] for skill in facts.skills]
    return {name: value for name, value in asdict(facts).items() if name not in _UNREAD} | {"skills": skills}


def _write_need(need: Need) -> dict[str, Any]:
    return {"id": need.id, "association_id": need.association_id, "version": need.version, **_write_facts(need.facts)}


def _write_candidate(candidate: Candidate) -> dict[str, Any]:
    offer = candidate.offer
    others = {field.name: getattr(candidate, field.name) for field in fields(Candidate) if field.name != "offer"}
    return {"id": offer.id, "volunteer_id": offer.volunteer_id, "version": offer.version, **_write_facts(offer.facts), **others}


def _read_facts(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: row[name] for name in names if name in row}
    for name in _DAYS & set(found):
        found[name] = None if found[name] is None else date.fromisoformat(found[name])
    found["skills"] = tuple(Skill(*skill) for skill in row["skills"])
    found["languages"] = tuple(row["languages"])
    found["week"] = tuple(WeekPart(part) for part in row["week"])
    found["setting"] = None if row["setting"] is None else Setting(row["setting"])
    found["point"] = None if row["point"] is None else Point(**row["point"])
    return found | {"title": "", "description": ""}


def _read_need(row: Mapping[str, Any], campaign_id: UUID) -> Need:
    facts = NeedFacts(**_read_facts(row, NeedFacts.__dataclass_fields__))
    association_id = UUID(row["association_id"])
    return Need(UUID(row["id"]), None, campaign_id, association_id, facts, NeedState.OPEN, version=row["version"])


def _read_candidate(row: Mapping[str, Any]) -> Candidate:
    found = _read_facts(row, OfferFacts.__dataclass_fields__)
    found["excluded_associations"] = tuple(map(UUID, row["excluded_associations"]))
    offer = Offer(UUID(row["id"]), None, UUID(row["volunteer_id"]), OfferFacts(**found), OfferState.OPEN, row["version"])
    employer_id = UUID(row["employer_id"]) if row["employer_id"] else None
    return Candidate(offer, row["remaining_minutes"], row["missions"], employer_id)


def _pairs(rows: Iterable[tuple[str, str]]) -> Pairs:
    return frozenset((UUID(one), UUID(other)) for one, other in rows)
