"""Builders for conventions, valuations and receipts: parties, people who bind them, and missions that were served."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any
from uuid import UUID

from kernel.auth import Caller, Role
from kernel.events.matching import MissionAgreed, MissionProposed
from kernel.events.registry import TerritoryRecorded
from kernel.ids import new_id
from services.credits.domain.conventions import AskedTerms, Side, Terms
from services.credits.domain.parties import TOWN_ID, Party
from services.credits.domain.patronage import PatronageLaw
from services.credits.domain.valuations import CostLine, Valuation, make_valuation
from services.credits.use_cases.conventions import accept_convention, draft_convention
from services.credits.use_cases.parties import write_party
from services.credits.use_cases.receipts import issue_receipt
from services.credits.use_cases.valuations import value_mission
from tests.builders.credits import Scene

SIREN = "732829320"


def make_law(*, monthly_ceiling_cents: int = 400_500) -> PatronageLaw:
    return PatronageLaw(2026, monthly_ceiling_cents, 3, 600, 400, 200_000_000, 2_000_000, 5, 3, "CGI, article 238 bis")


def make_party(
    actor_id: UUID | None = None, *, siren: str | None = SIREN, address: str = "3 rue des Écoles, 92330 Sceaux"
) -> Party:
    return Party(
        actor_id or new_id(),
        legal_form="association loi de 1901",
        address=address,
        representative_function="présidente",
        siren=siren,
        object="Apprendre à lire à tout âge",
        category="organisme d'intérêt général à caractère éducatif",
    )


def make_terms(*, tasks: str = "Refaire le site, former deux bénévoles", planned_value_cents: int | None = None) -> Terms:
    return Terms(tasks, "les mardis de 14 h à 17 h", "au siège", date(2026, 4, 7), 1, planned_value_cents)


def ask_terms(*, tasks: str = "Refaire le site, former deux bénévoles", planned_value_cents: int | None = None) -> AskedTerms:
    return AskedTerms(**asdict(make_terms(tasks=tasks, planned_value_cents=planned_value_cents)))


def make_line(*, minutes: int = 90, hourly_cost_cents: int = 4_000, employees: int = 1, months: int = 1) -> CostLine:
    return CostLine(minutes, hourly_cost_cents, None, employees, months)


def make_cost(*lines: CostLine) -> Valuation:
    return make_valuation(
        from_day=date(2026, 3, 1), to_day=date(2026, 3, 31), lines=lines or [make_line()], method="", today=date(2026, 4, 1)
    )


@dataclass(frozen=True)
class Pair:
    """An association with credit and a company that serves it, both with their papers written."""

    association_id: UUID
    company_id: UUID


def binding(scene: Scene, actor_id: UUID, role: Role) -> Caller:
    """Somebody who acts for an organisation in a role that binds it."""
    return Caller(scene.territory, f"{scene.territory}.{role}", actor_id, new_id(), frozenset({role}))


def of_association(scene: Scene, pair: Pair) -> Caller:
    return binding(scene, pair.association_id, Role.ASSOCIATION)


def of_company(scene: Scene, pair: Pair) -> Caller:
    return binding(scene, pair.company_id, Role.COMPANY)


async def write_papers(scene: Scene, *parties: Party) -> None:
    async with scene.work() as work:
        for party in parties:
            await write_party(work, party)


async def make_pair(scene: Scene, *, credit: int = 6000) -> Pair:
    company_id = await scene.record_actor(kind="company", name="Pixelune")
    await scene.pledge(credit, contributor_id=company_id)
    association_id = await scene.admit(entitled_minutes=credit)
    await scene.sign()
    await scene.handle(TerritoryRecorded(territory=scene.territory, name="Sceaux"))
    await write_papers(scene, make_party(association_id), make_party(company_id), make_party(TOWN_ID))
    return Pair(association_id, company_id)


async def agree_mission(
    scene: Scene, pair: Pair, *, minutes: int = 120, title: str = "Refonte du site", **told: Any
) -> MissionAgreed:
    """An agreed mission that matching has told about. `told`: more of it."""
    agreed = scene.agreed(pair.association_id, pair.company_id, minutes)
    await scene.handle(
        MissionProposed(
            mission_id=agreed.mission_id,
            need_id=new_id(),
            offer_id=new_id(),
            campaign_id=agreed.campaign_id,
            association_id=agreed.association_id,
            volunteer_id=new_id(),
            contributor_id=agreed.contributor_id,
            company_id=agreed.contributor_id,
            title=title,
            minutes=minutes,
            reasons=[],
            **told,
        )
    )
    await scene.handle(agreed)
    return agreed


async def serve_mission(scene: Scene, pair: Pair, *, minutes: int = 90, title: str = "Refonte du site") -> UUID:
    agreed = await agree_mission(scene, pair, minutes=minutes, title=title)
    await scene.handle(scene.validated(agreed, minutes))
    return agreed.mission_id


async def value(
    scene: Scene, pair: Pair, mission_id: UUID, cost: Valuation | None = None, *, share: bool = False, reason: str | None = None
) -> None:
    async with scene.work(of_company(scene, pair)) as work:
        await value_mission(work, mission_id, cost or make_cost(), share_with_town=share, reason=reason)


async def conclude(scene: Scene, pair: Pair, mission_id: UUID, *, sides: tuple[Side, ...] = tuple(Side)) -> None:
    """Draft a convention and let these sides accept it."""
    callers = {
        Side.ASSOCIATION: of_association(scene, pair), Side.CONTRIBUTOR: of_company(scene, pair), Side.TOWN: scene.officer,
    }  # fmt: skip
    async with scene.work() as work:
        drafted, _ = await draft_convention(work, mission_id, ask_terms())
    for side in sides:
        async with scene.work(callers[side]) as work:
            await accept_convention(work, mission_id, version=drafted.version, side=side)


async def issue(scene: Scene, pair: Pair, *mission_ids: UUID) -> UUID:
    async with scene.work(of_association(scene, pair)) as work:
        return await issue_receipt(work, beneficiary_id=pair.association_id, donor_id=pair.company_id, mission_ids=mission_ids)


async def receipted_mission(scene: Scene, pair: Pair) -> tuple[UUID, UUID]:
    """A mission served, valued and receipted; the receipt's id and the mission's."""
    mission_id = await serve_mission(scene, pair)
    await value(scene, pair, mission_id)
    return await issue(scene, pair, mission_id), mission_id
