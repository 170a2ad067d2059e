"""A scene whose lots end on different days, and whose missions are settled in parts."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from kernel.errors import MetisError
from kernel.ids import new_id
from services.credits.domain.campaigns import ExpiryRule
from services.credits.domain.ledger import Transfer, TransferKind, make_leg
from services.credits.domain.lots import Lot
from services.credits.store import ledger, lots
from services.credits.use_cases.combiner import Alone
from services.credits.use_cases.expiries import carry_credit_in, expire_due_lots
from services.credits.use_cases.missions import Answer, Command, Release, Reservation, Settlement, decide_missions
from services.credits.use_cases.reversals import reverse_transfer
from tests.builders.credits import Scene

MISSION_END = date(2026, 11, 30)
IN_JUNE = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
# The last instants of June and of September in Paris.
SOON, LATER = datetime(2026, 6, 30, 22, 0, tzinfo=UTC), datetime(2026, 9, 30, 22, 0, tzinfo=UTC)


def make_lot(*, minutes: int = 60, expires_at: datetime = datetime(2026, 7, 1, tzinfo=UTC), lot_id: UUID | None = None) -> Lot:
    return Lot(lot_id or new_id(), UUID(int=1), UUID(int=2), minutes, expires_at)


# A computation of one association, signed as it is.
_SIGNED = (
    """INSERT INTO grant_proposal (territory, id, campaign_id, step_minutes, compensation_permille, hour_value_cents, pool_minutes,
        due_minutes, computed_minutes, computed_by, computed_at)
    SELECT $1, $2, $3, 15, 1000, 6000, $5, $5, $5, $4, now() WHERE $6::uuid IS NOT NULL""",
    """INSERT INTO grant_proposal_line (territory, proposal_id, association_id, subsidy_before_cents, subsidy_after_cents,
        already_granted_minutes, exact_minutes, entitled_minutes, due_minutes, share_steps, extra_step, computed_minutes)
    SELECT $1, $2, $6, $5 * 100, 0, 0, $5::text, $5, $5, '0', false, $5 WHERE $3::uuid IS NOT NULL AND $4::text IS NOT NULL""",
    """INSERT INTO signed_grant (territory, id, campaign_id, proposal_id, association_id, computed_minutes, minutes, signed_by,
        signed_at)
    SELECT $1, $2, $3, $2, $6, $5, $5, $4, now()""",
)


async def grant_lot(scene: Scene, association_id: UUID, minutes: int, *, expires_at: datetime) -> Lot:
    """A lot that ends when the test says so, paid out of the pool by a signed grant."""
    grant_id = new_id()
    lot = Lot(new_id(), scene.campaign_id, association_id, minutes, expires_at, grant_id=grant_id)
    leg = make_leg(
        TransferKind.GRANT,
        campaign_id=scene.campaign_id,
        holder_id=association_id,
        lot_id=lot.id,
        minutes=minutes,
        key=f"grant:{lot.id}",
        why="Dotation",
        grant_id=grant_id,
    )
    async with scene.work() as work:
        for statement in _SIGNED:
            await work.driver.execute(statement, scene.territory, grant_id, scene.campaign_id, "officer", minutes, association_id)
        await lots.add_lots(work, [lot])
        await ledger.post(work, [leg])
    return lot


def reservation(
    scene: Scene, association_id: UUID, contributor_id: UUID, minutes: int, *, mission_id: UUID | None = None
) -> Reservation:
    return Reservation(mission_id or new_id(), scene.campaign_id, association_id, contributor_id, minutes, MISSION_END)


def release_of(command: Reservation) -> Release:
    return Release(command.mission_id, command.campaign_id, command.association_id, "Le local est fermé")


def settlement_of(command: Reservation, minutes: int, *, part: str | None = None) -> Settlement:
    """A part of this name, or (without one) the last."""
    if part is None:
        return Settlement(command.mission_id, command.campaign_id, minutes)
    return Settlement(command.mission_id, command.campaign_id, minutes, is_final=False, part=part)


async def decide(scene: Scene, *commands: Command) -> list[Answer | MetisError]:
    """In one transaction; what that leaves to be decided alone is, after it, as the combiner does it."""
    async with scene.work() as work:
        answers = await decide_missions(work, [(work, command) for command in commands])
    return [
        await decide_one(scene, command) if isinstance(answer, Alone) else answer
        for command, answer in zip(commands, answers, strict=True)
    ]


async def decide_one(scene: Scene, command: Command) -> Answer:
    """In a transaction of its own; raises what the command did wrong."""
    async with scene.work() as work:
        (answer,) = await decide_missions(work, [(work, command)])
        if isinstance(answer, MetisError):
            raise answer
    assert isinstance(answer, Answer)
    return answer


async def sweep(scene: Scene) -> int:
    async with scene.work() as work:
        return await expire_due_lots(work)


async def carry_in(scene: Scene, *, into: UUID, origin: UUID) -> int:
    async with scene.work() as work:
        return await carry_credit_in(work, into, from_campaign_id=origin)


async def open_next_campaign(scene: Scene, *, expiry: ExpiryRule = ExpiryRule.RETURN, ends_on: date = date(2027, 12, 31)) -> UUID:
    """Another open campaign of the scene's territory; the scene stays with its own."""
    here = scene.campaign_id
    await scene.start(expiry=expiry, ends_on=ends_on)
    there, scene.campaign_id = scene.campaign_id, here
    return there


async def list_transfers(scene: Scene, kind: str | None = None) -> list[UUID]:
    """Ids, the oldest first."""
    rows = await scene.fetch(
        "SELECT id FROM transfer WHERE campaign_id = $1 AND ($2::text IS NULL OR kind = $2) ORDER BY id", scene.campaign_id, kind
    )
    return [row["id"] for row in rows]


async def reverse(scene: Scene, transfer_id: UUID, minutes: int | None = None) -> Transfer:
    async with scene.work() as work:
        return await reverse_transfer(work, transfer_id, reason="Erreur de saisie", minutes=minutes)


async def credit_of(scene: Scene, lots: Sequence[Lot], kind: str = "credit") -> list[int]:
    """What is on each lot's account of a kind."""
    rows = await scene.fetch("SELECT lot_id, balance_minutes FROM account WHERE kind = $1", kind)
    found = {row["lot_id"]: row["balance_minutes"] for row in rows}
    return [found.get(lot.id, 0) for lot in lots]


def days_after(instant: datetime, days: int) -> datetime:
    return instant + timedelta(days=days)


class Funded:
    """One association with a lot that ends soon and one that ends later, and a contributor who promised enough."""

    def __init__(self, scene: Scene, association: UUID, contributor: UUID, soon: Lot, later: Lot) -> None:
        self.scene, self.association, self.contributor, self.soon, self.later = scene, association, contributor, soon, later

    async def reserve(self, minutes: int) -> Reservation:
        command = reservation(self.scene, self.association, self.contributor, minutes)
        answer = await decide_one(self.scene, command)
        assert answer.refusal is None
        return command

    async def left(self, kind: str = "credit") -> list[int]:
        return await credit_of(self.scene, [self.soon, self.later], kind)


async def fund_two_lots(scene: Scene, *, soon: int = 60, later: int = 60, expires_at: datetime = SOON) -> Funded:
    scene.now = IN_JUNE
    contributor = await scene.pledge(6000)
    association = await scene.admit(entitled_minutes=0)
    # The later one first: the order of expiry counts, not that of granting.
    late = await grant_lot(scene, association, later, expires_at=LATER)
    early = await grant_lot(scene, association, soon, expires_at=expires_at)
    return Funded(scene, association, contributor, early, late)
