"""The report of a closed campaign and its addenda: plain facts, in canonical JSON, whose digest the officer signs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.credits.domain.campaigns import Campaign
from services.credits.domain.closing_figures import AssociationFigures, ContributorFigures, Figures
from services.credits.domain.closings import Closing
from services.credits.domain.digests import canonical_json, digest_text
from services.credits.domain.holds import Hold
from services.credits.domain.ledger import Transfer

REPORT_FORMAT = "metis.campaign-report.v1"
STATEMENT_FORMAT = "metis.closing-statement.v1"


class Part(StrEnum):
    """In what capacity a holder appears: one body may be an association here and a contributor, too."""

    ASSOCIATION = "association"
    CONTRIBUTOR = "contributor"
    CAMPAIGN = "campaign"


@dataclass(frozen=True)
class Anchor:
    """Where an account stood: what moves it later has a higher version."""

    account_id: UUID
    kind: str
    holder_id: UUID
    lot_id: UUID | None
    version: int
    balance_minutes: int


@dataclass(frozen=True)
class FrozenText:
    """Canonical JSON and its SHA-256 in hexadecimal."""

    content: str
    digest: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> "FrozenText":
        content = canonical_json(facts, default=_as_text)
        return cls(content, digest_text(content))

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content)
        return found


@dataclass(frozen=True)
class FrozenStatement:
    part: Part
    holder_id: UUID
    text: FrozenText


@dataclass(frozen=True)
class Report:
    """`number` 0 is the report, those after it its addenda. Unsigned until `signed_at`."""

    campaign_id: UUID
    number: int
    text: FrozenText
    drawn_up_by: str
    drawn_up_at: datetime
    signed_by: str | None = None
    signed_at: datetime | None = None

    @property
    def is_signed(self) -> bool:
        return self.signed_at is not None


def _as_text(value: object) -> str:
    """Ids and instants in the report's canonical form."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds")
    if isinstance(value, UUID | date):
        return str(value)
    raise TypeError(f"{value!r} has no canonical form")


@dataclass(frozen=True)
class Ground:
    """All that a report says, read from the ledger in one transaction that kept everybody else away."""

    territory: str
    territory_name: str
    campaign: Campaign
    opened_at: datetime | None
    closed_at: datetime | None
    closed_by: str | None
    closing: Closing
    figures: Figures
    anchors: tuple[Anchor, ...]
    names: Mapping[UUID, str]
    surviving: tuple[Hold, ...]
    mission_titles: Mapping[UUID, str]
    reversals: tuple[Transfer, ...]
    refusals: Mapping[str, tuple[int, int]]  # by code: how many, and the minutes asked for
    books: Mapping[str, Any]
    ledger_head: Mapping[str, Any] | None


def build_statements(ground: Ground, *, number: int) -> list[FrozenStatement]:
    """Closing figures for each association and contributor, and for the campaign's own accounts."""
    association_kinds, contributor_kinds = {"credit", "held", "served", "carried"}, {"promised", "delivered"}
    rows: list[tuple[Part, UUID, Mapping[str, Any], set[str]]] = [
        *(
            (Part.ASSOCIATION, one.association_id, _association(one, ground), association_kinds)
            for one in ground.figures.associations
        ),
        *(
            (Part.CONTRIBUTOR, one.contributor_id, _contributor(one, ground), contributor_kinds)
            for one in ground.figures.contributors
        ),
    ]
    own = {"pool_minutes": ground.figures.pool_minutes, "lapsed_minutes": ground.figures.lapsed_minutes}
    rows.append((Part.CAMPAIGN, ground.campaign.id, own, {"pool", "lapsed"}))
    return [
        FrozenStatement(part, holder_id, FrozenText.of(_statement(ground, part, holder_id, figures, kinds, number=number)))
        for part, holder_id, figures, kinds in rows
    ]


def _statement(
    ground: Ground, part: Part, holder_id: UUID, figures: Mapping[str, Any], kinds: set[str], *, number: int
) -> dict[str, Any]:
    anchors = [one for one in ground.anchors if one.holder_id == holder_id and one.kind in kinds]
    return {
        "format": STATEMENT_FORMAT,
        "territory": ground.territory,
        "campaign_id": ground.campaign.id,
        "report_number": number,
        "part": part,
        "holder_id": holder_id,
        "figures": figures,
        "accounts": [
            {"id": one.account_id, "kind": one.kind, "lot_id": one.lot_id, "version": one.version, "minutes": one.balance_minutes}
            for one in sorted(anchors, key=lambda one: one.account_id)
        ],
    }


def build_report(
    ground: Ground,
    *,
    number: int,
    statements: Sequence[FrozenStatement],
    previous: Report | None,
    movements: Sequence[Transfer],
    drawn_up_by: str,
    drawn_up_at: datetime,
) -> FrozenText:
    """A report states everything; an addendum states everything anew, what moved since, and the report that it follows."""
    facts = {
        "format": REPORT_FORMAT,
        "number": number,
        "drawn_up_at": drawn_up_at,
        "drawn_up_by": drawn_up_by,
        "territory": {"code": ground.territory, "name": ground.territory_name},
        "campaign": _campaign(ground),
        "steps": [
            {"step": one.step, "at": one.at, "by": one.by, "accepted": list(one.accepted)}
            for one in ground.closing.tries
            if one.state == "done"
        ],
        "associations": [_association(one, ground) for one in ground.figures.associations],
        "contributors": [_contributor(one, ground) for one in ground.figures.contributors],
        "totals": ground.figures.totals(),
        "surviving_holds": [_hold(hold, ground) for hold in ground.surviving],
        "reversals": [_transfer(one) for one in ground.reversals],
        "refusals": [
            {"code": code, "count": count, "asked_minutes": minutes} for code, (count, minutes) in sorted(ground.refusals.items())
        ],
        "books": ground.books,
        "ledger_head": ground.ledger_head,
        "statements": [{"part": one.part, "holder_id": one.holder_id, "digest": one.text.digest} for one in statements],
        "previous": None if previous is None else {"number": previous.number, "digest": previous.text.digest},
        "movements": [_transfer(one) for one in movements],
    }
    return FrozenText.of(facts)


def _campaign(ground: Ground) -> dict[str, Any]:
    campaign = ground.campaign
    facts, rules = campaign.facts, campaign.facts.rules
    return {
        "id": campaign.id,
        "ref": campaign.ref,
        "title": facts.title,
        "starts_on": facts.starts_on,
        "ends_on": facts.ends_on,
        "operator_id": facts.operator_id,
        "operator_name": ground.names.get(facts.operator_id),
        "opened_at": ground.opened_at,
        "closed_at": ground.closed_at,
        "closed_by": ground.closed_by,
        "closure_reason": campaign.closure_reason,
        "rules": asdict(rules),
        "safeguards": asdict(facts.safeguards),
    }


def _association(one: AssociationFigures, ground: Ground) -> dict[str, Any]:
    return {**asdict(one), "name": ground.names.get(one.association_id)}


def _contributor(one: ContributorFigures, ground: Ground) -> dict[str, Any]:
    """A citizen's name is not kept here: it stays null."""
    return {**asdict(one), "name": ground.names.get(one.contributor_id)}


def _hold(hold: Hold, ground: Ground) -> dict[str, Any]:
    return {
        "mission_id": hold.mission_id,
        "title": ground.mission_titles.get(hold.mission_id),
        "association_id": hold.association_id,
        "association_name": ground.names.get(hold.association_id),
        "contributor_id": hold.contributor_id,
        "held_minutes": hold.held_minutes,
        "ends_on": hold.ends_on,
    }


def _transfer(one: Transfer) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "from": str(one.source),
        "to": str(one.target),
        "minutes": one.minutes,
        "who": one.who,
        "why": one.why,
        "recorded_at": one.recorded_at,
        "mission_id": one.mission_id,
        "reverses": one.reverses,
    }
