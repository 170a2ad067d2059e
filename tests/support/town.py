"""A small town at the public API: its people with their clients, and the steps of a campaign."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from cli.api import Session
from cli.http import AsyncClient
from cli.territory import create_client, create_territory
from kernel.clock import local_date, utc_now
from tests.support.waiting import wait_until

Row = dict[str, Any]


@dataclass
class Town:
    """`people` are sessions by name; `ids` are what they made, by name."""

    http: AsyncClient
    url: str
    territory: str
    people: dict[str, Session] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def officer(self) -> Session:
        return self.people["officer"]

    async def person(self, name: str, roles: list[str], **rest: Any) -> Session:
        """A client for a person or a program, and its session."""
        made = await create_client(
            self.officer, f"{self.territory}.{name}", {"name": name, "roles": roles, **{k: v for k, v in rest.items() if v}}
        )
        self.people[name] = Session(self.http, self.url, self.territory, made.client_id, made.client_secret)
        return self.people[name]

    async def actor(self, name: str, kind: str) -> str:
        body = {"kind": kind, "name": f"{name} {self.territory}", "commune": self.territory, "fields_of_action": ["culture"]}
        self.ids[name] = (await self.officer.put(f"/actors/refs/{name}", body))["id"]
        return self.ids[name]

    async def member(self, name: str, roles: list[str], *, actor: str | None = None) -> str:
        body = {
            "display_name": f"{name.title()} Essai",
            "email": f"{name}@{self.territory}.exemple.test",
            "roles": roles,
            "locale": "fr",
            "actor_id": self.ids[actor] if actor else None,
        }
        self.ids[name] = (await self.officer.put(f"/members/refs/{name}", body))["id"]
        return self.ids[name]


async def found_town(http: AsyncClient, url: str, territory: str, *, admin_secret: str) -> Town:
    """The territory with an operator, an association, a company with one employee, a citizen and a partner platform."""
    town = Town(http, url, territory)
    made = await create_territory(url, insee=territory, name=f"Ville {territory}", admin_secret=admin_secret)
    town.people["officer"] = Session(http, url, territory, made.client_id, made.client_secret)
    await town.officer.put(f"/communes/{territory}", {"name": f"Ville {territory}", "latitude": 48.77, "longitude": 2.29})
    for name, kind in (("operator", "operator"), ("association", "association"), ("company", "company")):
        await town.actor(name, kind)
    await town.member("animator", ["operator"], actor="operator")
    await town.member("manager", ["association"], actor="association")
    await town.member("referent", ["company"], actor="company")
    await town.member("employee", ["volunteer"], actor="company")
    await town.member("citizen", ["volunteer"])
    await town.person("animator", ["operator"], actor_id=town.ids["operator"], member_id=town.ids["animator"])
    await town.person("manager", ["association"], actor_id=town.ids["association"], member_id=town.ids["manager"])
    await town.person("referent", ["company"], actor_id=town.ids["company"], member_id=town.ids["referent"])
    await town.person("employee", ["volunteer"], actor_id=town.ids["company"], member_id=town.ids["employee"])
    await town.person("citizen", ["volunteer"], member_id=town.ids["citizen"])
    await town.person("partner", ["partner"])
    return town


async def open_campaign(town: Town, *, pledged_minutes: int = 6000, cut_cents: int = 60_000) -> str:
    """A campaign with one pledge of the company and one signed grant; at 30 € an hour and ratio 1 a cut of 600 € asks 20 h."""
    today = local_date(utc_now())
    body = {
        "title": f"Campagne {town.territory}",
        "starts_on": str(today - timedelta(days=30)),
        "ends_on": str(today + timedelta(days=60)),
        "operator_id": town.ids["operator"],
        "compensation_permille": 1000,
        "conventions_required": False,
        "hour_value_cents": 3000,
    }
    campaign = str((await town.officer.put("/campaigns/refs/essai", body))["id"])
    town.ids["campaign"] = campaign
    await admit_when_known(town, f"/campaigns/{campaign}/panel/{town.ids['association']}", 100_000, 100_000 - cut_cents)
    pledge = {"contributor_id": town.ids["company"], "minutes": pledged_minutes, "note": "essai"}
    await town.officer.put(f"/campaigns/{campaign}/pledges/refs/essai", pledge)
    await town.officer.post(f"/campaigns/{campaign}/opening", key=f"open-{campaign}")
    proposal = await town.officer.post(f"/campaigns/{campaign}/grant-proposals", key=f"propose-{campaign}")
    await town.officer.post(f"/campaigns/{campaign}/grants", {"proposal_id": proposal["id"]}, key=f"grant-{campaign}")
    return campaign


async def admit_when_known(town: Town, path: str, before: int, after: int) -> None:
    """Admit the association; credits learns its name by event, and signs no grant before."""

    async def admit() -> bool:
        answer = await town.officer.put(path, {"subsidy_before_cents": before, "subsidy_after_cents": after})
        return bool(answer["association_name"])

    await wait_until(admit, what="credits to know the association")


async def propose_mission(town: Town, *, minutes: int = 120, setting: str = "professional", name: str = "essai") -> str:
    """The mission proposed from a need and an offer that fit."""
    need_id, offer_id = await open_pair(town, minutes=minutes, setting=setting, name=name)
    proposal = {"offer_id": offer_id}
    mission = await town.people["animator"].post(f"/needs/{need_id}/proposals", proposal, key=f"propose-{need_id}")
    town.ids["mission"] = str(mission["id"])
    return town.ids["mission"]


async def open_pair(town: Town, *, minutes: int = 120, setting: str = "professional", name: str = "essai") -> tuple[str, str]:
    """A qualified, open need and an open offer that fits; gives their ids."""
    today = local_date(utc_now())
    need = {
        "campaign_id": town.ids["campaign"],
        "association_id": town.ids["association"],
        "title": f"Refaire l'affiche ({name})",
        "skills": [{"label": "graphisme"}],
        "minutes": minutes,
        "starts_on": str(today - timedelta(days=3)),
        "ends_on": str(today + timedelta(days=30)),
        "commune": town.territory,
    }
    offer = {
        "volunteer_id": town.ids["employee" if setting == "professional" else "citizen"],
        "title": f"Graphiste ({name})",
        "skills": [{"label": "graphisme", "level": 3}],
        "minutes": minutes * 2,
        "available_from": str(today - timedelta(days=3)),
        "available_until": str(today + timedelta(days=30)),
        "commune": town.territory,
        "radius_km": 5,
        "setting": setting,
    }
    need_id = (await put_when_known(town, f"/needs/refs/{name}", need))["id"]
    offer_id = (await put_when_known(town, f"/offers/refs/{name}", offer))["id"]
    animator = town.people["animator"]
    await animator.post(f"/needs/{need_id}/qualification", {"note": "vu avec l'association"}, key=f"qualify-{need_id}")
    await animator.post(f"/needs/{need_id}/opening", key=f"open-{need_id}")
    await town.officer.post(f"/offers/{offer_id}/opening", key=f"open-{offer_id}")
    town.ids |= {"need": need_id, "offer": offer_id}
    return need_id, offer_id


async def put_when_known(town: Town, path: str, body: Row) -> Row:
    """Matching learns of campaigns and people by event: put as soon as it knows them."""
    answer: Row = {}

    async def put() -> bool:
        try:
            answer.update(await town.officer.put(path, body))
        except Exception as error:
            if getattr(error, "status", 0) in {404, 409, 422}:
                return False
            raise
        return True

    await wait_until(put, what=f"matching to know what {path} names")
    return answer


async def agree(town: Town, mission: str, *, setting: str = "professional") -> None:
    """Association and volunteer accept; the company approves what is professional."""
    volunteer = "employee" if setting == "professional" else "citizen"
    for person in ("manager", volunteer):
        await town.people[person].post(f"/missions/{mission}/acceptance", key=f"accept-{person}-{mission}")
    if setting == "professional":
        await town.people["referent"].post(f"/missions/{mission}/approval", key=f"approve-{mission}")


async def work_and_validate(town: Town, mission: str, *, minutes: int, volunteer: str = "employee") -> None:
    person = town.people[volunteer]
    await person.post(f"/missions/{mission}/start", key=f"start-{mission}")
    timesheet = {"worked_on": str(local_date(utc_now())), "minutes": minutes}
    await person.post(f"/missions/{mission}/timesheets", timesheet, key=f"sheet-{mission}")
    await person.post(f"/missions/{mission}/report", key=f"report-{mission}")
    await town.people["manager"].post(f"/missions/{mission}/validation", key=f"validate-{mission}")


async def conclude_convention(town: Town, mission: str) -> None:
    """What documents must say of the parties, then the mission's convention, accepted by all three sides."""
    party = {
        "legal_form": "association loi de 1901",
        "address": f"1 place de la Mairie, {town.territory}",
        "representative_function": "présidente",
        "siren": "732829320",
        "object": "Essayer",
        "category": "organisme d'intérêt général",
    }
    for name in ("town", town.ids["association"], town.ids["company"]):
        await town.officer.put(f"/parties/{name}", party)
    terms = {"tasks": "Essayer", "calendar": "les mardis", "place": "au siège", "starts_on": str(local_date(utc_now()))}
    await town.officer.put(f"/conventions/{mission}", terms)
    for name, side in (("manager", "association"), ("referent", "contributor"), ("officer", "town")):
        path = f"/conventions/{mission}/versions/1/acceptances"
        await town.people[name].post(path, {"side": side}, key=f"accept-{side}-{mission}")


async def receipt_mission(town: Town, mission: str, *, minutes: int) -> str:
    """The company values its served mission, the association gives it the receipt; returns the receipt's id."""
    lines = [{"minutes": minutes, "hourly_cost_cents": 4000}]
    # Days of a year whose ceilings are known, whenever the test runs.
    period = {"from_day": "2026-03-01", "to_day": "2026-03-31"}
    await town.people["referent"].put(f"/valuations/{mission}", period | {"lines": lines, "share_with_town": True})
    ids = {"beneficiary_id": town.ids["association"], "donor_id": town.ids["company"], "mission_ids": [mission]}
    receipt = await town.people["manager"].post("/receipts", ids | {"certified": True}, key=f"receipt-{mission}")
    town.ids["receipt"] = str(receipt["id"])
    return town.ids["receipt"]


async def reaches(town: Town, mission: str, state: str, *, seconds: float = 30) -> Row:
    """Wait until the mission is in this state; returns it."""

    async def found() -> Row | None:
        row: Row = await town.officer.get(f"/missions/{mission}")
        return row if row["state"] == state else None

    return dict(await wait_until(found, seconds=seconds, what=f"mission {mission} to be {state}"))
