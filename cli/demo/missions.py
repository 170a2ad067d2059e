"""Steps 4 to 6 of a campaign: needs opened, missions proposed, agreed, worked, validated."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from cli.api import ApiError
from cli.demo import fates, refusals
from cli.demo.town import Town, make_traceparent, wait_until
from cli.wording import counted, hours
from kernel.clock import local_date, utc_now

Mission = dict[str, Any]
QUALIFIED = "Vu avec l'association : tâche, durée et dates sont précisées, le lieu est confirmé."


async def open_offers(town: Town) -> None:
    """Each volunteer opens their own offers, but for those whose time has passed."""
    today = local_date(utc_now()).isoformat()
    drafts = [offer async for offer in town.as_operator.every("/offers", state="draft")]
    offers = [offer for offer in drafts if offer["available_until"] >= today]
    await town.issue_to_members(_members(town, {offer["volunteer_id"] for offer in offers}))

    async def open_offer(offer: dict[str, Any]) -> None:
        path = f"/offers/{offer['id']}/opening"
        await town.as_member(offer["volunteer_id"]).post(path, key=_key(path))

    await town.together(open_offer, offers)
    if offers:
        volunteers = counted(len({offer["volunteer_id"] for offer in offers}), "bénévole")
        town.say(f"{counted(len(offers), 'offre ouverte')} par {volunteers}{_passed(len(drafts) - len(offers))}")


def _key(path: str) -> str:
    """Steady over runs: a step that was done answers as it did then, and happens once."""
    return f"demo{path.replace('/', '-')}"


async def open_needs(town: Town) -> None:
    """The operator qualifies each need with its association, then opens it."""

    async def open_need(need: dict[str, Any]) -> None:
        path = f"/needs/{need['id']}"
        if need["state"] == "draft":
            await town.as_operator.post(f"{path}/qualification", {"note": QUALIFIED}, key=_key(f"{path}/qualification"))
        await town.as_operator.post(f"{path}/opening", key=_key(f"{path}/opening"))

    today = local_date(utc_now()).isoformat()
    needs = [need async for need in town.as_operator.every("/needs") if need["state"] in {"draft", "qualified"}]
    wanted = [need for need in needs if need["ends_on"] >= today]
    await town.together(open_need, wanted)
    if wanted:
        qualified = counted(len(wanted), "besoin qualifié")
        town.say(f"{qualified} avec l'association, puis ouverture{_passed(len(needs) - len(wanted))}")


def _passed(count: int) -> str:
    return f" (hors dates : {count})" if count else ""


async def agree_missions(town: Town) -> None:
    """Proposals for all open needs, and answers of all sides.

    Then further rounds: what was declined is proposed to others, what was refused is mended where it can be.
    """
    for words in ("1er tour", "2e tour", "3e tour"):
        proposals = await town.as_operator.post("/proposals", {"campaign_id": town.campaign["id"]}, key=str(uuid4()))
        town.notes.setdefault("unserved", {}).update({need["need_id"]: need for need in proposals["unserved"]})
        missions = await _missions(town, "proposed")
        if not missions:
            return
        town.say(f"{words} : {counted(len(missions), 'mission proposée')}")
        await _choose_fates(town, missions)
        await _prepare_people(town, missions)
        await town.together(lambda mission: _answer(town, mission), missions)
        await wait_until(lambda: _none_in(town, "agreed"), what="les réserves de crédit demandées sont décidées")
        await _say_states(town, missions)
        await refusals.mend(town, {mission["id"]: mission for mission in missions})


async def _choose_fates(town: Town, missions: list[Mission]) -> None:
    """Once, for the first round."""
    chosen = town.memory.part("fates").setdefault(town.insee, {})
    if not chosen and missions:
        grants = {grant["association_id"]: grant["minutes"] async for grant in town.as_operator.every(f"{town.path}/grants")}
        unaffordable = {m["need_id"] for m in missions if m["minutes"] > grants.get(m["association_id"], 0)}
        chosen.update(fates.choose(missions, unaffordable=unaffordable))
        town.memory.save()


def _fate(town: Town, mission: Mission) -> str:
    fate: str = town.memory.part("fates").get(town.insee, {}).get(mission["need_id"], fates.SERVED)
    return fate


async def _prepare_people(town: Town, missions: list[Mission]) -> None:
    """Clients for all who must act in these missions."""
    actors = {mission["association_id"] for mission in missions} | {m["company_id"] for m in missions if m["company_id"]}
    people = [town.manager_of(actor) for actor in actors] + _members(town, {mission["volunteer_id"] for mission in missions})
    await town.issue_to_members({person["id"]: person for person in people}.values())


def _members(town: Town, ids: set[str]) -> list[dict[str, Any]]:
    return [town.members[id] for id in sorted(ids)]


async def _answer(town: Town, mission: Mission) -> None:
    """Each side says yes, or one says no with its reason. A fate is for the first proposal alone."""
    path = f"/missions/{mission['id']}"
    fate = _fate(town, mission)
    if fate in fates.DECLINES and await _decline(town, mission, fate):
        return
    waiting = set(mission["awaited"])
    if "volunteer" in waiting:
        await town.as_member(mission["volunteer_id"]).post(f"{path}/acceptance", key=_key(f"{path}/acceptance-volunteer"))
    if "association" in waiting:
        await town.as_manager(mission["association_id"]).post(f"{path}/acceptance", key=_key(f"{path}/acceptance-association"))
    if "company" in waiting:
        await town.as_manager(mission["company_id"]).post(f"{path}/approval", key=_key(f"{path}/approval"))


async def _decline(town: Town, mission: Mission, fate: str) -> bool:
    """Whether it was declined: once for a need, and by a company only where one is asked."""
    done = town.memory.part("declined")
    decliners = {
        fates.DECLINED_BY_ASSOCIATION: lambda: town.as_manager(mission["association_id"]),
        fates.DECLINED_BY_VOLUNTEER: lambda: town.as_member(mission["volunteer_id"]),
        fates.DECLINED_BY_COMPANY: lambda: town.as_manager(mission["company_id"]),
    }
    if mission["need_id"] in done or (fate == fates.DECLINED_BY_COMPANY and mission["company_id"] is None):
        return False
    done[mission["need_id"]] = fate
    town.memory.save()
    path = f"/missions/{mission['id']}/decline"
    await decliners[fate]().post(path, {"reason": fates.REASONS[fate]}, key=_key(path))
    return True


async def _say_states(town: Town, missions: list[Mission]) -> None:
    ids = {mission["id"] for mission in missions}
    counts = Counter(mission["state"] for mission in await _missions(town) if mission["id"] in ids)
    words = {"reserved": "réservée", "declined": "déclinée", "refused": "refusée"}
    told = ", ".join(counted(counts[state], word) for state, word in words.items() if state in counts)
    town.say(f"réponses : {told}" + (" (crédit ou promesse)" if "refused" in counts else ""))


async def serve_missions(town: Town) -> None:
    """Every reserved mission goes its way, to be closed, cancelled, or left running."""
    missions = await _missions(town)
    await _prepare_people(town, [mission for mission in missions if mission["state"] in _STEPS])
    await town.together(lambda mission: _serve(town, mission), [m for m in missions if m["state"] in _STEPS])
    town.memory.save()
    await wait_until(lambda: _none_in(town, "validated"), what="les missions validées sont réglées")
    closed = await _missions(town, "closed")
    minutes = sum(mission["served_minutes"] or 0 for mission in closed)
    town.say(f"missions servies, validées et closes : {len(closed)} ({hours(minutes)})")


async def _serve(town: Town, mission: Mission) -> None:
    """From wherever the mission is, step by step, until its fate is fulfilled."""
    while (step := _STEPS.get(mission["state"])) is not None:
        after = await step(town, mission)
        if after is None or after["state"] == mission["state"]:
            return
        mission = after


async def _from_reserved(town: Town, mission: Mission) -> Mission | None:
    if _fate(town, mission) == fates.CANCELLED:
        await _cancel(town, mission, fates.CANCELLED, by_association=True)
        reason = {"reason": fates.POSTPONED}
        path = f"/needs/{mission['need_id']}/withdrawal"
        await town.as_manager(mission["association_id"]).post(path, reason, key=_key(path))
        return None
    return await _start(town, mission)


async def _start(town: Town, mission: Mission) -> Mission:
    """A convention that was concluded a moment ago may be on its way to matching, which asks to try again."""
    started: list[Mission] = []

    async def try_it() -> bool:
        try:
            started.append(await _step(town, mission, "start"))
        except ApiError as error:
            if error.code != "convention-missing":
                raise
        return bool(started)

    await wait_until(try_it, what=f"la convention de la mission « {mission['title']} » est connue de l'appariement")
    return started[0]


async def _from_in_progress(town: Town, mission: Mission) -> Mission | None:
    fate = _fate(town, mission)
    worked = 0 if mission["worked_minutes"] else await _enter_timesheets(town, mission, fate)
    if fate == fates.CANCELLED_RUNNING:
        await _cancel(town, mission, fate, by_association=False)
        return None
    if fate == fates.RUNNING:
        return None
    assert worked or mission["worked_minutes"]
    return await _step(town, mission, "report")


async def _enter_timesheets(town: Town, mission: Mission, fate: str) -> int:
    """One session, or two for longer missions; all today, for a mission is worked after it was agreed."""
    minutes: int = mission["minutes"] * 3 // 4 if fate == fates.SHORTER else mission["minutes"]
    if fate == fates.RUNNING:
        minutes //= 2
    first = minutes // 2 if minutes >= fates.TWO_SESSIONS_MINUTES else minutes
    today = local_date(utc_now()).isoformat()
    volunteer = town.as_member(mission["volunteer_id"])
    path = f"/missions/{mission['id']}/timesheets"
    for number, part in enumerate(filter(None, (first, minutes - first)), start=1):
        body = {"worked_on": today, "minutes": part, "note": f"Séance {number}"}
        await volunteer.post(path, body, key=_key(f"{path}-{number}"))
    return minutes


async def _from_reported(town: Town, mission: Mission) -> Mission | None:
    path = f"/missions/{mission['id']}"
    manager = town.as_manager(mission["association_id"])
    if _fate(town, mission) == fates.DISPUTED and mission["id"] not in town.memory.part("disputed"):
        town.memory.part("disputed")[mission["id"]] = True
        disputed: Mission = await manager.post(
            f"{path}/dispute", {"reason": fates.REASONS[fates.DISPUTED]}, key=_key(f"{path}/dispute")
        )
        return disputed
    traceparent, trace = make_traceparent()
    validated: Mission = await manager.post(f"{path}/validation", key=_key(f"{path}/validation"), trace=traceparent)
    town.memory.part("traces").setdefault(town.insee, {})[mission["id"]] = trace
    return validated


async def _from_disputed(town: Town, mission: Mission) -> Mission | None:
    """The volunteer corrects the last session and reports again, saying what was put right."""
    volunteer = town.as_member(mission["volunteer_id"])
    path = f"/missions/{mission['id']}"
    sheets = [sheet for sheet in await volunteer.everything(f"{path}/timesheets") if not sheet["replaced"]]
    if all(sheet["replaces"] is None for sheet in sheets):
        last = sheets[-1]
        body = {"worked_on": last["worked_on"], "minutes": last["minutes"] - 60, "note": "Corrigé", "replaces": last["id"]}
        await volunteer.post(f"{path}/timesheets", body, key=_key(f"{path}/timesheets-correction"))
    reported: Mission = await volunteer.post(f"{path}/report", {"reason": fates.CORRECTION}, key=_key(f"{path}/report-again"))
    return reported


async def _step(town: Town, mission: Mission, verb: str) -> Mission:
    """A step of the volunteer's."""
    path = f"/missions/{mission['id']}/{verb}"
    after: Mission = await town.as_member(mission["volunteer_id"]).post(path, key=_key(path))
    return after


async def _cancel(town: Town, mission: Mission, fate: str, *, by_association: bool) -> None:
    who = town.as_manager(mission["association_id"]) if by_association else town.as_member(mission["volunteer_id"])
    path = f"/missions/{mission['id']}/cancellation"
    await who.post(path, {"reason": fates.REASONS[fate]}, key=_key(path))


_STEPS: dict[str, Callable[[Town, Mission], Awaitable[Mission | None]]] = {
    "reserved": _from_reserved,
    "in_progress": _from_in_progress,
    "reported": _from_reported,
    "disputed": _from_disputed,
}


async def _missions(town: Town, state: str | None = None) -> list[Mission]:
    return await town.as_operator.everything("/missions", **({"state": state} if state else {}))


async def _none_in(town: Town, state: str) -> bool:
    return not (await town.as_operator.get("/missions", state=state, limit=1))["items"]
