"""A credits database as it was before lots (revision 0003), filled through the SQL function of that time."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from kernel.ids import new_id

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
FLOWS = {
    "pledge": ("promised", "pool"),
    "grant": ("pool", "credit"),
    "reserve": ("credit", "held"),
    "release": ("held", "credit"),
    "settle": ("held", "served"),
    "deliver": ("delivered", "promised"),
    "lapse": ("credit", "lapsed"),
}


@dataclass
class OldTown:
    """One territory of that time; `connection` is the runtime role's, in a transaction bound to the territory."""

    connection: "asyncpg.Connection[Any]"
    territory: str
    contributor: UUID = field(default_factory=new_id)
    first: UUID = field(default_factory=new_id)
    second: UUID = field(default_factory=new_id)
    missions: dict[str, UUID] = field(default_factory=dict)
    transfers: dict[str, UUID] = field(default_factory=dict)

    async def fill(self) -> "OldTown":
        """An open campaign with missions in every state, a closed one whose credit lapsed, one that marked it for later."""
        for association in (self.first, self.second):
            await self.insert("actor", id=association, version=1, kind="association", name="Les Ateliers", archived=False)
        self.open = await self.add_campaign("open", expiry="return", pledged=1200, granted={self.first: 600, self.second: 300})
        await self.play_missions()
        await self.post("reverse", 300, self.second, f"reverse:{self.transfers['grant-second']}", undoes="grant-second")
        self.lapsed = await self.add_campaign("lapsed", expiry="lapse", pledged=100, granted={self.first: 100})
        await self.add_hold("outlives", self.lapsed, 15, state="held")
        await self.post("reserve", 15, self.first, mission="outlives")
        await self.post("lapse", 85, self.first, f"expire:{self.lapsed}:{self.first}")
        self.marked = await self.add_campaign("marked", expiry="carry_over", pledged=50, granted={self.first: 50})
        await self.insert("carry_over", campaign_id=self.marked, association_id=self.first, minutes=50)
        await self.connection.execute("UPDATE campaign SET state = 'closed' WHERE id = ANY($1)", [self.lapsed, self.marked])
        await self.insert("expiry_notice", campaign_id=self.open, association_id=self.first, days_before=30, sent_at=AT)
        return self

    async def add_campaign(self, name: str, *, expiry: str, pledged: int, granted: dict[UUID, int]) -> UUID:
        self.campaign, proposal, pledge = new_id(), new_id(), new_id()
        rules = {"step_minutes": 15, "compensation_permille": 1000, "hour_value_cents": 6000}
        days = {"starts_on": date(2026, 1, 1), "ends_on": date(2026, 12, 31)}
        await self.insert(
            "campaign", id=self.campaign, ref=name, title=name, operator_id=new_id(), expiry=expiry, state="open", **days, **rules
        )
        stated = {"ref": "p", "contributor_id": self.contributor, "stated_minutes": pledged, "note": ""}
        await self.insert("pledge", id=pledge, campaign_id=self.campaign, **stated)
        await self.post("pledge", pledged, self.contributor, f"pledge:{pledge}:1", pledge_id=pledge)
        sums = {"pool_minutes": pledged, "due_minutes": 0, "computed_minutes": 0, "computed_by": "x", "computed_at": AT}
        await self.insert("grant_proposal", id=proposal, campaign_id=self.campaign, **rules, **sums)
        for (association, minutes), whose in zip(granted.items(), ("first", "second"), strict=False):
            await self.grant(association, minutes, proposal=proposal, name=f"grant-{whose}")
        return self.campaign

    async def grant(self, association: UUID, minutes: int, *, proposal: UUID, name: str) -> None:
        seat = {"association_id": association, "subsidy_before_cents": minutes * 100, "subsidy_after_cents": 0}
        figures = {
            "already_granted_minutes": 0,
            "exact_minutes": str(minutes),
            "entitled_minutes": minutes,
            "due_minutes": minutes,
        }
        rest = {"share_steps": "1", "extra_step": False, "computed_minutes": minutes}
        await self.insert("panel", id=new_id(), campaign_id=self.campaign, **seat)
        await self.insert("grant_proposal_line", proposal_id=proposal, **seat, **figures, **rest)
        signed = {"computed_minutes": minutes, "minutes": minutes, "signed_by": "x", "signed_at": AT}
        grant = new_id()
        await self.insert(
            "signed_grant", id=grant, campaign_id=self.campaign, proposal_id=proposal, association_id=association, **signed
        )
        await self.post("grant", minutes, association, f"grant:{grant}", grant_id=grant, name=name)

    async def play_missions(self) -> None:
        for name, minutes, state, served in (
            ("held", 60, "held", 0),
            ("settled", 90, "settled", 60),
            ("released", 45, "released", 0),
            ("reversed", 30, "reversed", 30),
        ):
            await self.add_hold(name, self.open, minutes, state=state, served=served)
            await self.post("reserve", minutes, self.first, mission=name)
            if served:
                await self.post("settle", served, self.first, mission=name)
                await self.post("deliver", served, self.contributor, mission=name)
            if state != "held" and minutes > served:
                await self.post("release", minutes - served, self.first, mission=name)
        for kind, holder in (("settle", self.first), ("deliver", self.contributor)):
            undone = f"{kind}-reversed"
            await self.post("reverse", 30, holder, f"reverse:{self.transfers[undone]}", undoes=undone, mission="reversed")
        key = f"release-reversed:{self.missions['reversed']}"
        await self.post("release", 30, self.first, key, mission="reversed", name="release-reversed")
        await self.add_hold("refused", self.open, 9999, state="refused")
        await self.add_hold("cancelled", self.open, 0, state="cancelled")

    async def add_hold(self, name: str, campaign: UUID, minutes: int, *, state: str, served: int = 0) -> None:
        self.missions[name] = new_id()
        who = {"association_id": self.first, "contributor_id": None if state == "cancelled" else self.contributor}
        facts = {"minutes": minutes, "served_minutes": served, "state": state, "changed_at": AT, "ends_on": date(2026, 6, 30)}
        await self.insert("hold", mission_id=self.missions[name], campaign_id=campaign, **who, **facts)

    async def insert(self, table: str, **values: Any) -> None:
        values = {"territory": self.territory, **values}
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        await self.connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", *values.values())

    async def post(
        self,
        kind: str,
        minutes: int,
        holder: UUID,
        key: str | None = None,
        *,
        mission: str | None = None,
        undoes: str | None = None,
        name: str | None = None,
        **links: UUID,
    ) -> None:
        source, target = FLOWS[undoes.partition("-")[0] if undoes else kind][:: -1 if undoes else 1]
        leg = {
            "id": new_id(),
            "campaign_id": self.campaign,
            "kind": "expire" if kind == "lapse" else kind,
            "source": {"kind": source, "holder_id": self.campaign if source in {"pool", "lapsed"} else holder},
            "target": {"kind": target, "holder_id": self.campaign if target in {"pool", "lapsed"} else holder},
            "minutes": minutes,
            "who": "92071.mairie",
            "why": "Autrefois",
            "effective_at": AT,
            "idempotency_key": key or f"{kind}:{self.missions[mission or '']}",
            "mission_id": self.missions[mission] if mission else None,
            "grant_id": None,
            "pledge_id": None,
            "reverses": self.transfers[undoes] if undoes else None,
            **links,
        }
        body = orjson.dumps([leg], default=str).decode()
        (row,) = await self.connection.fetch("SELECT * FROM post_transfers($1::text::jsonb)", body)
        assert row["posted"]
        self.transfers[name or f"{kind}-{mission}"] = row["transfer_id"]
