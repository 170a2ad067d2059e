"""Draw up the report of a closed campaign, and an addendum when something moved after it was signed."""

from uuid import UUID

from kernel.work import Work
from services.credits.domain import closings as domain
from services.credits.domain.campaigns import Campaign
from services.credits.domain.closing_errors import NothingMoved, ReportUnsigned
from services.credits.domain.closing_figures import Figures, build_figures
from services.credits.domain.closing_plan import committed_minutes
from services.credits.domain.closing_report import Ground, Report, build_report, build_statements
from services.credits.domain.closings import Closing, Finding, Weight
from services.credits.domain.errors import NotFound
from services.credits.domain.holds import Hold
from services.credits.domain.ledger import AccountKind, Transfer
from services.credits.store import campaigns, ledger, registry
from services.credits.store import closing_figures as store
from services.credits.store import closings as closings_store


async def read_figures(work: Work, campaign_id: UUID) -> Figures:
    """Every holder's figures as the ledger has them now."""
    balances: dict[tuple[AccountKind, UUID], int] = {}
    for anchor in await store.list_anchors(work, campaign_id):
        key = AccountKind(anchor.kind), anchor.holder_id
        balances[key] = balances.get(key, 0) + anchor.balance_minutes
    held = await store.list_held(work, campaign_id)
    return build_figures(await store.list_flows(work, campaign_id), balances=balances, committed=committed_minutes(held))


def find_disagreements(ground: Ground) -> list[Finding]:
    """What must not stand in a report: books that differ, figures that do not add up, credit that should have expired."""
    books = ground.books
    found = domain.find_books(
        sum_minutes=books["sum_minutes"],
        entries_sum_minutes=books["entries_sum_minutes"],
        accounts_out_of_step=books["accounts_out_of_step"],
    )
    if not ground.figures.agree:
        text = "Les chiffres par association ou par contributeur ne s'additionnent pas."
        cure = "N'allez pas plus loin : appelez la personne technique."
        found.append(Finding("figures-differ", Weight.BLOCKING, text, cure))
    if left := ground.figures.totals()["credit_minutes"]:
        text = "Du crédit est revenu à une association après la clôture et n'est pas encore échu."
        cure = "Recommencez dans une minute : l'échéance s'inscrit d'elle-même."
        found.append(Finding("credit-left", Weight.BLOCKING, text, cure, minutes=left))
    return found


async def draw_up_report(work: Work, campaign: Campaign, found: Closing) -> tuple[Report | None, list[Finding]]:
    """The report (number 0), or what must not stand in it. The campaign is locked by the caller."""
    ground = await _read_ground(work, campaign, found)
    if findings := find_disagreements(ground):
        return None, findings
    return await _draw_up(work, ground, number=0, previous=None, movements=[]), []


async def draw_up_addendum(work: Work, campaign_id: UUID) -> Report:
    """State what moved since the last signed report: a mission that kept its hold was validated, or gave it back."""
    await closings_store.lock_closing(work, campaign_id)
    found = await closings_store.get_closing(work, campaign_id)
    campaign = await campaigns.lock_campaign(work, campaign_id)
    reports = await closings_store.list_reports(work, campaign_id)
    if not reports:
        raise NotFound("There is no report yet to add to: run the steps of the closing first.")
    if not reports[-1].is_signed:
        raise ReportUnsigned(
            f"Sign report {reports[-1].number} first: POST /campaigns/{{id}}/closing/reports/{{number}}/signature."
        )
    movements = await list_movements(work, reports[-1])
    if not movements:
        raise NothingMoved("The ledger stands where the last report left it; there is nothing to add.")
    ground = await _read_ground(work, campaign, found)
    return await _draw_up(work, ground, number=reports[-1].number + 1, previous=reports[-1], movements=movements)


async def list_movements(work: Work, report: Report) -> list[Transfer]:
    """What moved since the report was drawn up, by the versions of the accounts that its statements froze."""
    versions = {
        UUID(account["id"]): account["version"]
        for statement in await closings_store.list_statements(work, report.campaign_id, report.number)
        for account in statement.facts["accounts"]
    }
    return await store.list_moved_since(work, report.campaign_id, versions)


async def _draw_up(work: Work, ground: Ground, *, number: int, previous: Report | None, movements: list[Transfer]) -> Report:
    statements = build_statements(ground, number=number)
    text = build_report(
        ground,
        number=number,
        statements=statements,
        previous=previous,
        movements=movements,
        drawn_up_by=work.caller.identity,
        drawn_up_at=work.now,
    )
    report = Report(ground.campaign.id, number, text, work.caller.identity, work.now)
    await closings_store.add_report(work, report, previous=previous, statements=statements)
    return report


async def _read_ground(work: Work, campaign: Campaign, found: Closing) -> Ground:
    figures = await read_figures(work, campaign.id)
    surviving = await store.list_held(work, campaign.id)
    books = await ledger.get_books(work, campaign.id)
    moments = await store.get_moments(work, campaign.id)
    named = await registry.find_actors(work, _holders(campaign, figures, surviving))
    return Ground(
        territory=work.territory,
        territory_name=await registry.get_territory_name(work),
        campaign=campaign,
        opened_at=moments.opened_at,
        closed_at=moments.closed_at,
        closed_by=moments.closed_by,
        closing=found,
        figures=figures,
        anchors=tuple(await store.list_anchors(work, campaign.id)),
        names={actor_id: actor.name for actor_id, actor in named.items()},
        surviving=tuple(surviving),
        mission_titles=await store.find_titles(work, [hold.mission_id for hold in surviving]),
        reversals=tuple(await store.list_reversals(work, campaign.id)),
        refusals=await store.count_refusals(work, campaign.id),
        books={
            "sum_minutes": books.sum_minutes,
            "entries_sum_minutes": books.entries_sum_minutes,
            "accounts_out_of_step": books.accounts_out_of_step,
            "accounts": books.accounts,
            "transfers": books.transfers,
            "entries": books.entries,
            "by_kind": books.by_kind,
        },
        ledger_head=await store.find_ledger_head(work),
    )


def _holders(campaign: Campaign, figures: Figures, surviving: list[Hold]) -> set[UUID]:
    return {
        campaign.facts.operator_id,
        *(one.association_id for one in figures.associations),
        *(one.contributor_id for one in figures.contributors),
        *(hold.association_id for hold in surviving),
    }
