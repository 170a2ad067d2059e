"""A thousand small campaigns of random rules, played to their end: each closes to the minute."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from kernel.database import Database
from kernel.ids import new_id
from kernel.work import Work
from services.credits.domain.campaigns import CampaignFacts, ExpiryRule, Promise, Rules
from services.credits.domain.errors import MetisError
from services.credits.domain.grants import PanelSeat
from services.credits.use_cases.campaigns import admit_association, close_campaign, open_campaign, write_campaign
from services.credits.use_cases.combiner import Alone
from services.credits.use_cases.deadlines import release_overdue_holds
from services.credits.use_cases.expiries import expire_due_lots
from services.credits.use_cases.grants import propose_grants, sign_grants
from services.credits.use_cases.missions import Answer, Command, Release, Reservation, Settlement, decide_missions
from services.credits.use_cases.pledges import decide_promises
from tests.builders.credits import IN_SPRING, Scene
from tests.support.books import Rows, check_books

pytestmark = pytest.mark.timeout(300)
CAMPAIGNS, TOGETHER = 1000, 50
ENDS = date(2026, 6, 30)


@dataclass
class Plan:
    """One campaign: who takes part, and what becomes of each mission."""

    ref: str
    rules: Rules
    associations: list[UUID]
    contributors: list[UUID]
    campaign_id: UUID | None = None
    promised: int = 0
    missions: list[Reservation] = field(default_factory=list)


def make_plan(random: Random, number: int, associations: Sequence[UUID]) -> Plan:
    rules = Rules(
        step_minutes=random.choice([1, 5, 15, 30, 60]),
        compensation_permille=random.randint(1, 2000),
        hour_value_cents=random.randint(1000, 12_000),
        expiry=random.choice(list(ExpiryRule)),
    )
    contributors = [new_id() for _ in range(random.choice([1, 1, 2]))]
    return Plan(f"c{number}", rules, random.sample(associations, random.choice([1, 1, 2])), contributors)


async def found(work: Work, plans: Sequence[Plan], random: Random) -> None:
    for plan in plans:
        facts = CampaignFacts("Campagne", date(2026, 1, 1), ENDS, new_id(), plan.rules)
        campaign, _ = await write_campaign(work, ref=plan.ref, facts=facts)
        plan.campaign_id = (await open_campaign(work, campaign.id)).id
        for association in plan.associations:
            before = random.randint(0, 200_000)
            await admit_association(work, campaign.id, PanelSeat(association, before, random.randint(0, before)))


async def pledge(work: Work, plans: Sequence[Plan], random: Random) -> None:
    promises = []
    for plan in plans:
        for number, contributor in enumerate(plan.contributors):
            assert plan.campaign_id is not None
            minutes = random.randint(1, 3000)
            plan.promised += minutes
            promises.append((work, Promise(plan.campaign_id, f"p{number}", contributor, minutes)))
    assert not any(isinstance(answer, Alone | MetisError) for answer in await decide_promises(work, promises))


async def grant(work: Work, plans: Sequence[Plan]) -> None:
    for plan in plans:
        assert plan.campaign_id is not None
        await sign_grants(work, plan.campaign_id, proposal_id=await propose_grants(work, plan.campaign_id), adjustments=())


async def reserve(work: Work, plans: Sequence[Plan], random: Random) -> None:
    asked: list[Command] = []
    for plan in plans:
        assert plan.campaign_id is not None
        for _ in range(random.randint(0, 3)):
            who = random.choice(plan.associations), random.choice(plan.contributors)
            asked.append(Reservation(new_id(), plan.campaign_id, *who, random.randint(1, 400), ENDS))
    by_campaign = {plan.campaign_id: plan for plan in plans}
    for command, answer in zip(asked, await decide_all(work, asked), strict=True):
        if answer.refusal is None and isinstance(command, Reservation):
            by_campaign[command.campaign_id].missions.append(command)


async def decide_all(work: Work, commands: Sequence[Command]) -> list[Answer]:
    answers = await decide_missions(work, [(work, command) for command in commands])
    assert all(isinstance(answer, Answer) for answer in answers)
    return answers  # type: ignore[return-value]


def end_missions(plans: Sequence[Plan], random: Random) -> list[list[Command]]:
    """Some before the end and some after it, in parts or not; some are never heard of again."""
    rounds: list[list[Command]] = [[], []]
    for plan in plans:
        for mission in plan.missions:
            served = random.randint(0, mission.minutes)
            ids = mission.mission_id, mission.campaign_id
            end = random.choice(["settle", "parts", "release", "forget"])
            if end == "parts" and served > 1:
                rounds[0].append(Settlement(*ids, served // 2, is_final=False, part="a"))
                rounds[1].append(Settlement(*ids, served - served // 2))
            elif end in {"settle", "parts"}:
                rounds[random.randint(0, 1)].append(Settlement(*ids, served))
            elif end == "release":
                rounds[random.randint(0, 1)].append(Release(*ids, mission.association_id, "Annulée"))
    return rounds


async def play(scene: Scene, plans: Sequence[Plan], random: Random) -> None:
    """So many campaigns together, each step of all of them in one transaction."""
    for step in (found, pledge):
        async with scene.work() as work:
            await step(work, plans, random)
    async with scene.work() as work:
        await grant(work, plans)
    async with scene.work() as work:
        await reserve(work, plans, random)
    before, after = end_missions(plans, random)
    async with scene.work() as work:
        await decide_all(work, before)
    async with scene.work() as work:
        for plan in plans:
            assert plan.campaign_id is not None
            await close_campaign(work, plan.campaign_id, reason="Fin")
    async with scene.work() as work:
        await decide_all(work, after)


class TestThousandCampaigns:
    async def test_close_to_the_minute(self, scene: Scene, make_database: Callable[..., Database]) -> None:
        random = Random(1000)
        scene.now = IN_SPRING
        associations = [await scene.record_actor() for _ in range(8)]
        plans = [make_plan(random, number, associations) for number in range(CAMPAIGNS)]
        groups = [plans[start : start + TOGETHER] for start in range(0, CAMPAIGNS, TOGETHER)]
        seeds = [random.random() for _ in groups]
        for pair in zip(groups[::2], groups[1::2], seeds[::2], seeds[1::2], strict=True):
            await asyncio.gather(*(play(scene, group, Random(seed)) for group, seed in zip(pair[:2], pair[2:], strict=True)))
        scene.now = datetime(ENDS.year, ENDS.month, ENDS.day, tzinfo=UTC) + timedelta(days=40)
        async with scene.work() as work:
            forgotten = await release_overdue_holds(work, grace_days=30)
            assert await expire_due_lots(work) == 0
        assert forgotten > CAMPAIGNS // 10
        check_closed(await check_books(scene.fetch), plans)


def check_closed(rows: Rows, plans: Sequence[Plan]) -> None:
    """Nothing is left to spend or held, and what was promised is served or stands where the rule sends it."""
    balances: dict[UUID, Counter[str]] = {plan.campaign_id: Counter() for plan in plans if plan.campaign_id}
    for account in rows.accounts:
        balances[account["campaign_id"]][account["kind"]] += account["balance_minutes"]
    targets = {ExpiryRule.RETURN: "pool", ExpiryRule.LAPSE: "lapsed", ExpiryRule.CARRY_OVER: "carried"}
    totals: Counter[Any] = Counter()
    for plan in plans:
        assert plan.campaign_id is not None
        own = balances[plan.campaign_id]
        assert own["credit"] == own["held"] == 0, plan
        assert own["served"] == -own["delivered"]
        assert own["promised"] + own["delivered"] + plan.promised == own["served"] + own["delivered"], (plan, own)
        assert plan.promised == own["pool"] + own["served"] + own["lapsed"] + own["carried"], (plan, own)
        assert not any(own[kind] for kind in ("lapsed", "carried") if kind != targets[plan.rules.expiry]), (plan, own)
        totals.update({**own, "campaigns": 1, plan.rules.expiry: 1})
    assert totals["campaigns"] == CAMPAIGNS
    assert min(totals[kind] for kind in ("served", "pool", "lapsed", "carried", *ExpiryRule)) > 0
