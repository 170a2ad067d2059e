"""Builders of needs, offers and missions: one valid thing each, with what a test cares about changed."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from kernel.ids import new_id
from services.matching.domain.missions import Mission, Side
from services.matching.domain.needs import Need, NeedFacts
from services.matching.domain.offers import Candidate, Offer, OfferFacts
from services.matching.domain.shared import Campaign, Commune, Setting, Skill
from services.matching.domain.states import MissionState, NeedState, OfferState
from services.matching.engine.referential import Referential, ReferentialSkill
from services.matching.engine.surroundings import Surroundings

TODAY = date(2026, 10, 1)
NOW = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)

SCEAUX, BOURG_LA_REINE, ANTONY = "92071", "92014", "92002"
COMMUNES = {
    SCEAUX: Commune("Sceaux", 48.776, 2.29628),
    BOURG_LA_REINE: Commune("Bourg-la-Reine", 48.78006, 2.31673),
    ANTONY: Commune("Antony", 48.75075, 2.29764),
}


def make_need_facts(**changes: Any) -> NeedFacts:
    facts = NeedFacts(
        title="Remettre les comptes à jour",
        description="Deux années de factures à classer.",
        skills=(Skill("comptabilité"), Skill("tableur")),
        minutes=360,
        starts_on=date(2026, 10, 5),
        ends_on=date(2026, 11, 20),
        commune=SCEAUX,
        remote=False,
    )
    return replace(facts, **changes)


def make_need(
    *, id: UUID | None = None, state: NeedState = NeedState.OPEN, association_id: UUID | None = None, **facts: Any
) -> Need:
    return Need(id or new_id(), None, new_id(), association_id or new_id(), make_need_facts(**facts), state)


def make_offer_facts(**changes: Any) -> OfferFacts:
    facts = OfferFacts(
        title="Tenir des comptes",
        description="Je tiens la comptabilité de petites structures.",
        skills=(Skill("comptabilité", 3), Skill("tableur", 2)),
        minutes=600,
        available_from=date(2026, 9, 1),
        available_until=date(2026, 12, 18),
        commune=SCEAUX,
        remote=False,
        radius_km=5,
        setting=Setting.PERSONAL,
    )
    return replace(facts, **changes)


def make_offer(
    *, id: UUID | None = None, state: OfferState = OfferState.OPEN, volunteer_id: UUID | None = None, **facts: Any
) -> Offer:
    return Offer(id or new_id(), None, volunteer_id or new_id(), make_offer_facts(**facts), state)


def make_candidate(
    *, remaining_minutes: int | None = None, missions: int = 0, employer_id: UUID | None = None, **offer: Any
) -> Candidate:
    made = make_offer(**offer)
    remaining = made.facts.minutes if remaining_minutes is None else remaining_minutes
    return Candidate(made, remaining, missions, employer_id)


def make_surroundings(**changes: Any) -> Surroundings:
    return replace(Surroundings(TODAY, COMMUNES), **changes)


def make_referential(
    names: Mapping[str, str],
    *,
    near: Mapping[str, Mapping[str, float]] | None = None,
    synonyms: Mapping[str, Sequence[str]] | None = None,
) -> Referential:
    """A small referential: codes with their French names."""
    skills = {
        code: ReferentialSkill(
            code=code,
            name_fr=name,
            name_en=name,
            definition=name,
            parent="essai",
            synonyms=tuple((synonyms or {}).get(code, ())),
            asks=(),
            gives=(),
            titles=(),
            tools=(),
            false_friends=(),
            near=dict((near or {}).get(code, {})),
            rome=(),
            esco=(),
        )
        for code, name in names.items()
    }
    return Referential("essai", {}, skills)


def make_campaign(*, is_open: bool = True) -> Campaign:
    return Campaign(new_id(), "Crédit d'expertises 2026", is_open)


def make_mission(*, state: MissionState = MissionState.PROPOSED, company_id: UUID | None = None, **changes: Any) -> Mission:
    """A mission of 360 minutes; past the agreement everybody has said yes."""
    volunteer_id = new_id()
    mission = Mission(
        id=new_id(),
        need_id=new_id(),
        offer_id=new_id(),
        campaign_id=new_id(),
        association_id=new_id(),
        volunteer_id=volunteer_id,
        contributor_id=company_id or volunteer_id,
        company_id=company_id,
        title="Remettre les comptes à jour",
        minutes=360,
        starts_on=date(2026, 10, 5),
        ends_on=date(2026, 11, 20),
        score=100,
        parts=(),
        reasons=("2 compétences communes : comptabilité, tableur",),
        state=state,
    )
    if state is not MissionState.PROPOSED:
        accepted = frozenset({Side.ASSOCIATION, Side.VOLUNTEER} | ({Side.COMPANY} if company_id else set()))
        mission = replace(mission, accepted=accepted, agreed_at=NOW)
    return replace(mission, **changes)


# ---- Bodies, as clients send them -------------------------------------------------------------------------------------


def make_need_body(campaign_id: UUID | str, association_id: UUID | str | None = None, **changes: Any) -> dict[str, Any]:
    body = {
        "campaign_id": str(campaign_id),
        "title": "Remettre les comptes à jour",
        "description": "Deux années de factures à classer.",
        "skills": [{"label": "comptabilité", "level": 2}, {"label": "tableur"}],
        "minutes": 360,
        "starts_on": "2026-01-01",
        "ends_on": "2199-12-31",
        "commune": SCEAUX,
        "remote": False,
    }
    return body | ({"association_id": str(association_id)} if association_id else {}) | changes


def make_offer_body(volunteer_id: UUID | str | None = None, **changes: Any) -> dict[str, Any]:
    body = {
        "title": "Tenir des comptes",
        "description": "Je tiens la comptabilité de petites structures.",
        "skills": [{"label": "Comptabilité", "level": 3}, {"label": "tableur", "level": 2}],
        "minutes": 600,
        "available_from": "2026-01-01",
        "available_until": "2199-12-31",
        "commune": SCEAUX,
        "remote": False,
        "radius_km": 5,
        "setting": "personal",
    }
    return body | ({"volunteer_id": str(volunteer_id)} if volunteer_id else {}) | changes
