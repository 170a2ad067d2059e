"""A town that lived a campaign: one row at least behind every kind of route."""

from kernel.auth import EVERYONE
from tests.support.openapi import IdOf, Site
from tests.support.town import (
    Row,
    Town,
    agree,
    conclude_convention,
    open_campaign,
    open_pair,
    propose_mission,
    reaches,
    receipt_mission,
    work_and_validate,
)
from tests.support.waiting import wait_until

OWN_SKILL = {
    "name_fr": "Élevage d'escargots",
    "name_en": "Snail farming",
    "definition": "Élever des escargots.",
    "parent": "environnement",
    "synonyms": ["parc à escargots"],
    "reason": "On le demande ici.",
}


async def live(town: Town, webhook_url: str) -> None:
    """Fill the town: a mission from the proposal to the receipt, a need and an offer that wait, and what stands beside them.

    `ids` names a row for every resource of the OpenAPI document, `everybody` is somebody who may do everything at home.
    """
    await open_campaign(town)
    webhook = await town.people["partner"].post("/webhooks", {"url": webhook_url, "event_types": ["*"]}, key="webhook")
    town.ids["webhook"] = webhook["id"]
    need_id, offer_id = await open_pair(town, name="attente")
    town.ids["round"] = (await town.officer.post("/rounds", {"campaign_id": town.ids["campaign"]}, key="round"))["id"]
    mission = await propose_mission(town)
    await agree(town, mission)
    await reaches(town, mission, "reserved")
    await conclude_convention(town, mission)
    await work_and_validate(town, mission, minutes=60)
    await reaches(town, mission, "closed")
    await receipt_mission(town, mission, minutes=60)
    town.ids["timesheet"] = (await town.officer.everything(f"/missions/{mission}/timesheets"))[0]["id"]
    town.ids |= {"need": need_id, "offer": offer_id}
    await _add_ledger_acts(town)
    await _add_own_words(town)
    await _hear_of_it(town)
    home = {"actor_id": town.ids["association"], "member_id": town.ids["manager"]}
    await town.person("everybody", [str(role) for role in EVERYONE], **home)
    town.ids["client"] = f"{town.territory}.manager"


async def _add_ledger_acts(town: Town) -> None:
    """A pledge, a transfer, a proposal that waits, a publication of the signed one, a withdrawal that waits for approval."""
    campaign = f"/campaigns/{town.ids['campaign']}"
    for name in ("pledge", "transfer"):
        town.ids[name] = (await town.officer.everything(f"{campaign}/{name}s"))[0]["id"]
    town.ids["proposal"] = (await town.officer.post(f"{campaign}/grant-proposals", key="again"))["id"]
    (granted, *_) = await town.officer.everything(f"{campaign}/grants")
    published = {"proposal_id": granted["proposal_id"]}
    town.ids["publication"] = (await town.officer.post(f"{campaign}/grant-publications", published, key="publish"))["id"]
    agent = await town.person("agent", ["officer"], member_id=town.ids["animator"])
    wanted = {"kind": "withdrawal", "pledge_id": town.ids["pledge"], "minutes": 60}
    town.ids["approval"] = (await agent.post("/approvals", {"wanted": wanted, "reason": "Un second regard"}, key="ask"))["id"]


async def _add_own_words(town: Town) -> None:
    town.ids["skill"] = (await town.officer.post("/skill-proposals", OWN_SKILL, key="skill"))["code"]
    word = {"phrase": "héliciculture", "reason": "On le dit ici."}
    town.ids["synonym"] = (await town.officer.post(f"/skills/{town.ids['skill']}/synonyms", word, key="word"))["id"]


async def _hear_of_it(town: Town) -> None:
    """A notice, a webhook's delivery and the round's result."""
    manager, partner = town.people["manager"], town.people["partner"]
    deliveries, computing = f"/webhooks/{town.ids['webhook']}/deliveries", f"/rounds/{town.ids['round']}"
    town.ids["inbox"] = (await wait_until(lambda: manager.everything("/inbox"), what="a notice"))[0]["id"]
    town.ids["delivery"] = (await wait_until(lambda: partner.everything(deliveries), what="a delivery"))[0]["id"]

    async def computed() -> Row | None:
        row: Row = await town.officer.get(computing)
        return row if row["state"] == "computed" else None

    await wait_until(computed, seconds=120, what="the round to be computed")


def ids_of(town: Town) -> IdOf:
    """Every site names the town's own row."""

    def id_of(site: Site) -> str:
        return town.ids[site.resource]

    return id_of
