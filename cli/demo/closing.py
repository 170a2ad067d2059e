"""Steps 7 and 8 of a campaign: closure before its time, expiry, statements; and the partner that listens along."""

from typing import Any

from cli.demo.receivers import Partner
from cli.demo.town import Town, wait_until
from cli.wording import counted

CLOSED = "Clôture anticipée : toutes les missions possibles sont servies, le bilan est présenté au conseil de décembre."
PARTNER = "partenaire"
NOTICE = "credits.credit_expiring.v1"
NOTICES_SECONDS = 90  # a platform that is not the demo's own looks for them once a minute
PARTNER_EVENTS = [
    "credits.campaign_opened.v1",
    "credits.credit_granted.v1",
    "matching.need_opened.v1",
    "matching.need_fulfilled.v1",
    "matching.mission_closed.v1",
    "credits.campaign_closed.v1",
]


async def subscribe_partner(town: Town, partner: Partner, *, url: str) -> None:
    """A partner platform gets a client, asks for events at its own address, and reads the secret that signs them."""
    body = {"name": "Plateforme partenaire", "roles": ["partner"]}
    await town.issue(town.as_officer, PARTNER, body)
    town.memory.save()
    session = town.session(PARTNER)
    hooks = await session.everything("/webhooks")
    if not hooks:
        wish = {"url": url, "event_types": PARTNER_EVENTS, "description": "Agenda solidaire du territoire"}
        hooks = [await session.post("/webhooks", wish, key=f"demo-webhook-{town.insee}")]
        town.say("une plateforme partenaire s'abonne aux événements publics")
    hook = hooks[0]
    if hook["url"] != url:
        hook = await session.patch(f"/webhooks/{hook['id']}", {"url": url}, version=hook["version"])
    secret = await session.get(f"/webhooks/{hook['id']}/secret")
    partner.know(f"/{town.insee}", secret["secret"])
    town.notes["webhook"] = hook["id"]


async def await_notices(town: Town) -> None:
    """Credit that nobody spent ends within the month: its associations are told before it does, by the platform's own clock."""

    async def told() -> bool:
        return bool((await town.as_officer.get("/emails", event_type=NOTICE, limit=1))["items"])

    await wait_until(told, what=f"les préavis d'échéance de {town.name} sont partis", timeout_seconds=NOTICES_SECONDS)
    emails = await town.as_officer.everything("/emails", event_type=NOTICE)
    town.notes["told_of_expiry"] = len({email["event_id"] for email in emails})
    town.say(f"préavis d'échéance : {counted(town.notes['told_of_expiry'], 'crédit')} à utiliser avant la fin de la campagne")


async def close_campaign(town: Town) -> None:
    """The officer closes it before its end, with the reason; unspent credit expires by the campaign's rule."""
    if town.campaign["state"] == "open":
        await town.as_officer.post(f"{town.path}/closure", {"reason": CLOSED}, key=f"demo-closure-{town.campaign['id']}")
        await town.read_campaign(town.as_officer)
        town.say(f"campagne close par {town.officer['display_name']} ; le crédit non dépensé expire selon la règle")


async def read_statements(town: Town) -> list[dict[str, Any]]:
    """Each association reads its own statement; the operator, those of the associations that did not sign in."""
    grants = await town.as_operator.everything(f"{town.path}/grants")

    async def read(association_id: str) -> dict[str, Any]:
        own = town.has_client(town.manager_of(association_id)["ref"])
        session = town.as_manager(association_id) if own else town.as_operator
        statement: dict[str, Any] = await session.get(f"{town.path}/statements/{association_id}")
        return statement

    return await town.together(read, dict.fromkeys(grant["association_id"] for grant in grants))
