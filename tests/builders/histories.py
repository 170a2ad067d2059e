"""Concurrent histories: who asked what, when, what was answered, and whether one order of the books explains it all."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from kernel.auth import Caller
from services.credits.domain.holds import HoldState
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import Answer, Command, Release, Reservation, Settlement


@dataclass(frozen=True)
class Call:
    """`asked` and `answered` count all events of the history in their order."""

    command: Command
    asked: int
    answered: int
    answer: Answer


class History:
    """Records calls; whoever waits for an answer meanwhile is concurrent."""

    def __init__(self) -> None:
        self._ticks = itertools.count()
        self.calls: list[Call] = []

    async def call(self, combiner: Combiner[Command, Answer], caller: Caller, command: Command) -> Answer:
        asked = next(self._ticks)
        answer = await combiner.submit(caller, command)
        self.calls.append(Call(command, asked, next(self._ticks), answer))
        return answer


@dataclass(frozen=True)
class Step:
    """One transfer on one account: what its version left there, and within which events it happened."""

    version: int
    balance: int
    asked: int
    answered: int


async def play_caller(
    history: History,
    *,
    random: Random,
    replicas: Sequence[Combiner[Command, Answer]],
    caller: Caller,
    make: Callable[[], Reservation],
    rounds: int,
) -> None:
    """Reserve, then let it be, serve it, or call it off; now and then say again what was said, to whichever replica."""
    said: list[Command] = []

    async def say(command: Command) -> Answer:
        said.append(command)
        return await history.call(random.choice(replicas), caller, command)

    for _ in range(rounds):
        mission = make()
        answer = await say(mission)
        end = random.choice(["leave", "release", "release", "settle", "parts"])
        if answer.refusal is None and end == "release":
            await say(Release(mission.mission_id, mission.campaign_id, mission.association_id, "Annulée"))
        elif answer.refusal is None and end != "leave":
            half = random.randint(0, mission.minutes // 2)
            if end == "parts" and half:
                await say(Settlement(mission.mission_id, mission.campaign_id, half, is_final=False, part="a"))
            await say(Settlement(mission.mission_id, mission.campaign_id, half))
        if random.random() < 0.3:
            await history.call(random.choice(replicas), caller, random.choice(said))


def check_linearizable(calls: Sequence[Call], credit: dict[UUID, list[Any]]) -> None:
    """`credit`: of each association, the entries of its one credit account in the order of their versions, with their keys.

    The versions are the order. It must respect what was answered before something else was asked, and every refusal
    must name what was missing at some moment between its question and its answer.
    """
    happened = _span_effects(calls)
    for association_id, entries in credit.items():
        steps = [Step(entry["version"], entry["balance"], *happened.get(_effect_of(entry["key"]), (-1, -1))) for entry in entries]
        check_order(steps)
        for call in calls:
            if isinstance(call.command, Reservation) and call.command.association_id == association_id and call.answer.refusal:
                if call.answer.is_new:
                    _check_refusal(call, steps)
                else:  # who asks again is told what was said
                    assert call.answer.refusal in [
                        one.answer.refusal for one in calls if one.command == call.command and one.answer.is_new
                    ]


def _effect_of(key: str) -> tuple[str, str]:
    """`reserve:{mission}:1` -> ("reserve", mission)."""
    kind, mission_id, *_ = key.split(":")
    return kind, mission_id


def _span_effects(calls: Sequence[Call]) -> dict[tuple[str, str], tuple[int, int]]:
    """From the first question to the first answer of whatever can have brought an effect about."""
    spans: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        kind = "reserve" if isinstance(call.command, Reservation) else "release"
        if call.answer.refusal is None and not (isinstance(call.command, Settlement) and not call.command.is_final):
            spans[kind, str(call.command.mission_id)].append(call)
    return {effect: (min(one.asked for one in made), min(one.answered for one in made)) for effect, made in spans.items()}


def check_order(steps: Sequence[Step]) -> None:
    soonest_answer: float = float("inf")
    for step in reversed(steps):
        assert step.asked <= soonest_answer, f"version {step.version} was asked for after a later one was answered"
        if step.answered >= 0:
            soonest_answer = min(soonest_answer, step.answered)


def _check_refusal(call: Call, steps: Sequence[Step]) -> None:
    assert isinstance(call.command, Reservation)
    assert call.answer.refusal is not None
    assert call.answer.refusal.code == "not-enough-credit", call
    seen = list_seen(steps, asked=call.asked, answered=call.answered)
    assert call.command.minutes - call.answer.refusal.missing_minutes in seen, (call, sorted(seen))


def list_seen(steps: Sequence[Step], *, asked: int, answered: int) -> set[int]:
    """What the account held at the moments between a question and its answer."""
    first = max((step.version for step in steps if step.answered < asked), default=0)
    last = min((step.version for step in steps if step.asked > answered), default=len(steps) + 1)
    return {step.balance for step in steps if first <= step.version < last}


def check_nothing_lost_or_doubled(calls: Sequence[Call], transfers: Sequence[Any]) -> None:
    """Each accepted command has its effect once, each refused one none, and whoever repeats is told what was."""
    made: dict[tuple[str, str], int] = defaultdict(int)
    for one in transfers:
        if one["mission_id"]:
            made[one["kind"], str(one["mission_id"])] += one["minutes"]
    new: dict[tuple[str, str, str], int] = defaultdict(int)
    for call in calls:
        mission, hold = str(call.command.mission_id), call.answer.hold
        if isinstance(call.command, Reservation):
            expected = 0 if hold is None or hold.state is HoldState.REFUSED else call.command.minutes
            assert made["reserve", mission] == expected, call
        part = call.command.part if isinstance(call.command, Settlement) else ""
        new[type(call.command).__name__, mission, part] += call.answer.is_new
    assert all(count <= 1 for count in new.values()), {key: count for key, count in new.items() if count > 1}
    for (kind, mission), minutes in list(made.items()):
        if kind == "reserve":
            assert made["settle", mission] + made["release", mission] in {0, minutes} or made["settle", mission] < minutes
            assert made["settle", mission] == made["deliver", mission]
