"""The mission saga as the ledger plays it: reserve, release, settle.

Any number of missions is decided in one go, in order, on accounts that are locked once (`decide_missions`): the consumer
brings what was told together, the combiner what waits together. Each answer is right when repeated and in any order: the
mission's row is locked first, its state moves forward only, and a cancellation that comes first leaves a mark that the
reservation finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from uuid import UUID

from kernel.bus.consumer import Told
from kernel.clock import local_date
from kernel.errors import Unavailable
from kernel.events import Event
from kernel.events.matching import MissionAgreed, MissionCancelled, MissionValidated
from kernel.work import Work
from services.credits.domain import journal as journals
from services.credits.domain.errors import MetisError, MissionUnknown, NotFound, Refused, TransferKeyReused
from services.credits.domain.holds import (
    Hold,
    HoldState,
    Means,
    Refusal,
    decide_reservation,
    decide_settlement,
    require_minutes,
)
from services.credits.domain.journal import Journal
from services.credits.domain.ledger import AccountKey, AccountKind
from services.credits.store import ledger
from services.credits.store import missions as store
from services.credits.use_cases import telling
from services.credits.use_cases.combiner import Alone
from services.credits.use_cases.conventions import find_settlement_obstacles


@dataclass(frozen=True)
class Reservation:
    """A mission was agreed: set its minutes aside."""

    mission_id: UUID
    campaign_id: UUID
    association_id: UUID
    contributor_id: UUID
    minutes: int
    ends_on: date


@dataclass(frozen=True)
class Release:
    """A mission was called off: give its hold back. Without its association, it must have been agreed before."""

    mission_id: UUID
    campaign_id: UUID
    association_id: UUID | None
    reason: str


@dataclass(frozen=True)
class Settlement:
    """Minutes were validated. `part` names them among the mission's settlements; the last one gives the rest back."""

    mission_id: UUID
    campaign_id: UUID
    minutes: int
    is_final: bool = True
    part: str = "end"


Command = Reservation | Release | Settlement


@dataclass(frozen=True)
class Answer:
    """How the mission's hold stands after a command; `refusal` is why nothing was moved, if it was refused now."""

    hold: Hold | None
    refusal: Refusal | None = None
    is_new: bool = True


async def follow_missions(work: Work, told: Told) -> None:
    """Reserve what was agreed, release what was called off, settle what was validated, in order and at once; a refusal is an
    answer like any other. Raises the first error of a command that is wrong in itself, and then nothing was written."""
    if not told:
        return
    for answer in await decide_missions(work, [(view, _command_of(event)) for view, event in told]):
        if isinstance(answer, MetisError):
            raise answer


def _command_of(event: Event) -> Command:
    match event:
        case MissionAgreed():
            return Reservation(
                event.mission_id, event.campaign_id, event.association_id, event.contributor_id, event.minutes, event.ends_on
            )
        case MissionCancelled():
            return Release(event.mission_id, event.campaign_id, event.association_id, event.reason)
        case MissionValidated():
            return Settlement(event.mission_id, event.campaign_id, event.served_minutes)
    raise TypeError(f"{event.event_type} moves nothing")


@dataclass
class _Desk:
    """What a batch of commands is decided on, and what came of it so far."""

    journal: Journal
    holds: dict[UUID, Hold]
    new: set[UUID]
    seats: set[tuple[UUID, UUID]]
    committed: dict[tuple[UUID, UUID], int]
    settled: dict[str, int]
    refusals: dict[UUID, Refusal]
    obstacles: dict[UUID, Refusal]  # missions of which no minute may be settled yet
    changed: dict[UUID, Hold] = field(default_factory=dict)
    refused: list[store.Refused] = field(default_factory=list)

    def save(self, hold: Hold) -> Hold:
        """As it stands from now on; what its contributor is counted on for moves with it."""
        before = self.holds[hold.mission_id]
        self.holds[hold.mission_id] = self.changed[hold.mission_id] = hold
        if hold.contributor_id is not None:
            pair = (hold.campaign_id, hold.contributor_id)
            self.committed[pair] = self.committed.get(pair, 0) + hold.held_minutes - before.held_minutes
        return hold

    def refuse(self, work: Work, refusal: Refusal, hold: Hold, *, subject: str, minutes: int) -> Answer:
        self.refused.append(store.Refused(refusal, subject, hold, minutes, ledger.author_of(work).who))
        return Answer(hold, refusal)


async def decide_missions(work: Work, asked: Sequence[tuple[Work, Command]]) -> list[Answer | MetisError | Alone]:
    """Decide the commands in order, each for its own caller; one that is wrong in itself gets its error and moves nothing."""
    desk = await _open_desk(work, [command for _, command in asked])
    answers: list[Answer | MetisError | Alone] = [_decide(desk, view, command) for view, command in asked]
    await _save(work, desk)
    return answers


async def decide_mission(work: Work, command: Command) -> Answer:
    """One command in its caller's own transaction. When its refusal rolls that back, it is refused once more, which is kept."""
    [answer] = await decide_missions(work, [(work, command)])
    assert not isinstance(answer, Alone)
    if isinstance(answer, MetisError):
        raise answer
    if answer.refusal is not None:
        work.when_refused = partial(_refuse_again, command)
    return answer


async def _refuse_again(command: Command, work: Work, error: Refused) -> None:
    if (await decide_mission(work, command)).refusal is None:
        raise Unavailable("What was in the way is there no more; ask again.")


async def _save(work: Work, desk: _Desk) -> None:
    new = [desk.holds[mission_id] for mission_id in desk.new]
    changed = [hold for mission_id, hold in desk.changed.items() if mission_id not in desk.new]
    await store.save(work, journal=desk.journal, new=new, changed=changed, refused=desk.refused)


async def _open_desk(work: Work, commands: Sequence[Command]) -> _Desk:
    firsts: dict[UUID, Hold | None] = {}
    for command in commands:
        firsts[command.mission_id] = firsts.get(command.mission_id) or _first_hold(command)
    loaded = await store.load(work, {command.campaign_id for command in commands}, firsts)
    new = {mission_id: hold for mission_id, hold in firsts.items() if hold and mission_id not in loaded.holds}
    holds = new | loaded.holds
    return _Desk(
        loaded.journal,
        holds,
        set(new),
        loaded.seats,
        loaded.committed,
        loaded.settled,
        loaded.refusals,
        find_settlement_obstacles(holds.values(), loaded.journal.campaigns, loaded.concluded),
    )


def _first_hold(command: Command) -> Hold | None:
    """The row that a command leaves when it is the first to be heard of its mission."""
    if isinstance(command, Reservation) and command.minutes > 0:
        return Hold(
            command.mission_id, command.campaign_id, command.association_id, command.contributor_id,
            command.minutes, 0, command.ends_on, HoldState.ASKED,
        )  # fmt: skip
    if isinstance(command, Release) and command.association_id is not None:
        return Hold(command.mission_id, command.campaign_id, command.association_id, None, 0, 0, None, HoldState.CANCELLED)
    return None


def _decide(desk: _Desk, work: Work, command: Command) -> Answer | MetisError:
    hold = desk.holds.get(command.mission_id)
    if hold is not None and hold.campaign_id != command.campaign_id:
        return NotFound(f"Mission {command.mission_id} is none of campaign {command.campaign_id}.")
    try:
        if isinstance(command, Reservation):
            return _reserve(desk, work, command)
        if isinstance(command, Release):
            return _release(desk, work, command)
        return _settle(desk, work, command)
    except MetisError as error:
        return error


def _reserve(desk: _Desk, work: Work, command: Reservation) -> Answer:
    require_minutes(command.minutes, least=1)
    hold = desk.holds[command.mission_id]
    if hold.state is not HoldState.ASKED:
        _require_same(hold, command)
        return Answer(hold, desk.refusals.get(hold.mission_id), is_new=False)
    refusal = decide_reservation(_means_of(desk, hold), asked_minutes=hold.minutes, today=local_date(work.now))
    if refusal is not None:
        refused = desk.save(replace(hold, state=HoldState.REFUSED))
        telling.tell_reservation_refused(work, refused, refusal)
        return desk.refuse(work, refusal, refused, subject="reservation", minutes=hold.minutes)
    held = desk.save(journals.reserve(desk.journal, hold, author=ledger.author_of(work)))
    telling.tell_reserved(work, held, contributor_id=command.contributor_id)
    return Answer(held)


def _require_same(hold: Hold, command: Reservation) -> None:
    """A mission is agreed once. A mark of a cancellation that came first knows nothing of it."""
    asked = (command.association_id, command.contributor_id, command.minutes)
    if hold.contributor_id is not None and asked != (hold.association_id, hold.contributor_id, hold.minutes):
        raise TransferKeyReused(f"Mission {hold.mission_id} was agreed with other parties or minutes; name another mission.")


def _means_of(desk: _Desk, hold: Hold) -> Means:
    campaign = desk.journal.campaigns.get(hold.campaign_id)
    if campaign is None or hold.contributor_id is None:
        return Means(None, False, 0, 0, 0)
    promised = AccountKey.of(AccountKind.PROMISED, campaign_id=campaign.id, holder_id=hold.contributor_id)
    drawn = desk.journal.draw(campaign.id, hold.association_id, hold.minutes)
    return Means(
        campaign=campaign,
        on_panel=(campaign.id, hold.association_id) in desk.seats,
        credit_minutes=sum(minutes for _, minutes in drawn),
        promised_minutes=-desk.journal.balances.get(promised, 0),
        committed_minutes=desk.committed.get((campaign.id, hold.contributor_id), 0),
    )


def _release(desk: _Desk, work: Work, command: Release) -> Answer:
    hold = desk.holds.get(command.mission_id)
    if hold is None or hold.state is HoldState.ASKED:  # asked: agreed by a later command of this very batch
        raise MissionUnknown(f"Mission {command.mission_id} was never agreed here; there is nothing to release.")
    if hold.state is not HoldState.HELD:
        return Answer(hold, is_new=command.mission_id in desk.new)
    return Answer(_release_hold(desk, work, hold, reason=command.reason))


def _release_hold(desk: _Desk, work: Work, hold: Hold, *, reason: str, overdue: bool = False) -> Hold:
    """Give a locked, held hold back; what comes back to an expired lot expires at once. Minutes served before stay served."""
    told = len(desk.journal.expired)
    freed, minutes = journals.release(desk.journal, hold, why=reason, author=ledger.author_of(work))
    if freed.served_minutes:
        freed = replace(freed, state=HoldState.SETTLED)
    telling.tell_released(work, freed, minutes=minutes, reason=reason, overdue=overdue)
    telling.tell_expired(work, desk.journal, since=told)
    return desk.save(freed)


def _settle(desk: _Desk, work: Work, command: Settlement) -> Answer:
    require_minutes(command.minutes, least=0)
    hold = desk.holds.get(command.mission_id)
    if hold is None or hold.state is HoldState.ASKED:
        raise MissionUnknown(f"Mission {command.mission_id} is validated, and was never agreed here.")
    if _was_settled(desk, command) or _settles_nothing(hold, command):
        return Answer(hold, is_new=False)
    refusal = decide_settlement(hold, served_minutes=command.minutes)
    if command.minutes:
        refusal = refusal or desk.obstacles.get(hold.mission_id)
    if refusal is not None:
        telling.tell_settlement_refused(work, hold, refusal)
        return desk.refuse(work, refusal, hold, subject="settlement", minutes=command.minutes)
    return Answer(_post_settlement(desk, work, hold, command))


def _was_settled(desk: _Desk, command: Settlement) -> bool:
    """Whether these minutes were settled before. Raises when it were others."""
    before = desk.settled.get(f"settle-{command.part}:deliver:{command.mission_id}")
    if before is None and command.part == "end":
        before = desk.settled.get(f"deliver:{command.mission_id}")  # as it was called before there were parts
    if before is not None and before != command.minutes:
        raise TransferKeyReused(f"Part {command.part} of this mission settled {before} minutes; name another part.")
    return before is not None


def _settles_nothing(hold: Hold, command: Settlement) -> bool:
    """No minutes, and no end of a hold that runs: what left no transfer when it was said first moves nothing later either."""
    ends = command.is_final and hold.state not in (HoldState.SETTLED, HoldState.REVERSED)
    return not command.minutes and not ends


def _post_settlement(desk: _Desk, work: Work, hold: Hold, command: Settlement) -> Hold:
    told = len(desk.journal.expired)
    settled, released = journals.settle(
        desk.journal,
        hold,
        minutes=command.minutes,
        occasion=f"settle-{command.part}",
        is_final=command.is_final or command.minutes == hold.held_minutes,
        author=ledger.author_of(work),
    )
    desk.settled[f"settle-{command.part}:deliver:{command.mission_id}"] = command.minutes
    if settled.state is HoldState.SETTLED:
        telling.tell_settled(work, settled, released_minutes=released)
    telling.tell_expired(work, desk.journal, since=told)
    return desk.save(settled)


async def release_overdue_holds_of(work: Work, overdue: Sequence[Hold], *, ended_before: date) -> None:
    """A hold lasts until its mission's own end and the time to validate, whether or not its campaign does; then it goes back."""
    desk = await _open_desk(work, [Release(hold.mission_id, hold.campaign_id, hold.association_id, "") for hold in overdue])
    for hold in desk.holds.copy().values():
        if hold.state is HoldState.HELD and hold.ends_on is not None and hold.ends_on < ended_before:
            closed = ", campagne close" if desk.journal.campaigns[hold.campaign_id].state == "closed" else ""
            reason = f"Mission échue le {hold.ends_on:%d/%m/%Y} et non validée dans le délai{closed} : réserve rendue"
            _release_hold(desk, work, hold, reason=reason, overdue=True)
    await _save(work, desk)
