"""What people do about a refused mission: a contributor promises more, an association asks for less, or no more."""

from typing import Any

from cli.demo.town import Town
from cli.wording import counted, hours

Row = dict[str, Any]
TOO_DEAR = "Notre crédit ne suffit pas cette année ; nous le redemanderons à la prochaine campagne."
PROMISE = "Complément de promesse, pour une mission déjà convenue avec l'association."
LEAST_MINUTES = 180


async def mend(town: Town, missions: dict[str, Row]) -> None:
    """For each refusal of these missions: its code says who can help."""
    refused = [r async for r in town.as_operator.every(f"{town.path}/refusals") if r["mission_id"] in missions]
    promises = [refusal for refusal in refused if refusal["code"] == "pledge-exhausted"]
    credits_ = [refusal for refusal in refused if refusal["code"] == "not-enough-credit"]
    await _complete_promises(town, promises)
    await _ask_for_less(town, [missions[refusal["mission_id"]] for refusal in credits_])


async def _complete_promises(town: Town, refusals: list[Row]) -> None:
    """Each contributor promises what was missing, in their own name."""
    wanted: dict[str, int] = {}
    for refusal in refusals:
        wanted[refusal["contributor_id"]] = wanted.get(refusal["contributor_id"], 0) + refusal["asked_minutes"]

    async def promise(contributor_id: str) -> None:
        body = {"contributor_id": contributor_id, "minutes": wanted[contributor_id], "note": PROMISE}
        session = town.as_member(contributor_id) if contributor_id in town.members else town.as_manager(contributor_id)
        await session.put(f"{town.path}/pledges/refs/complement-{contributor_id}", body)

    await town.together(promise, wanted)
    if wanted:
        added = hours(sum(wanted.values()))
        town.say(f"promesse épuisée : complétée par {counted(len(wanted), 'contributeur')} ({added})")


async def _ask_for_less(town: Town, missions: list[Row]) -> None:
    """The association with most credit left has its need cut to it; the others withdraw theirs."""
    accounts = await town.as_operator.everything(f"{town.path}/accounts", kind="credit") if missions else []
    credit = {account["holder_id"]: account["balance_minutes"] for account in accounts}
    missions = sorted(missions, key=lambda mission: (-credit.get(mission["association_id"], 0), mission["title"]))
    for number, mission in enumerate(missions):
        left = credit.get(mission["association_id"], 0)
        path = f"/needs/{mission['need_id']}"
        need = await town.as_operator.get(path)
        if need["state"] != "open":
            continue
        if number == 0 and left >= LEAST_MINUTES:
            await town.as_operator.patch(path, {"minutes": left}, version=need["version"])
        else:
            manager = town.as_manager(mission["association_id"])
            await manager.post(f"{path}/withdrawal", {"reason": TOO_DEAR}, key=f"demo-too-dear-{mission['need_id']}")
    if missions:
        town.say(f"crédit insuffisant : {counted(len(missions), 'besoin')}, à réduire à ce qui reste ou à retirer")
