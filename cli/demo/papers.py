"""Step 8 of a campaign: the papers of one mission that a company lends somebody for, and what the town publishes of all.

The numbers of SIREN and SIRET are plainly examples: nothing but zeros.
"""

from dataclasses import dataclass
from typing import Any

from cli.demo import fates
from cli.demo.town import Town
from cli.wording import counted
from kernel.clock import local_date, utc_now

Row = dict[str, Any]
EXAMPLE_SIREN, EXAMPLE_SIRET = "0" * 9, "0" * 14
HOURLY_COST_CENTS = 4_200
LEGAL_FORMS = {"town": "commune", "association": "association loi de 1901", "company": "SAS"}


@dataclass(frozen=True)
class Papers:
    """What can be read at the end. Of the mission: none, where no company took part."""

    mission: Row | None
    convention: Row | None
    valuation: Row | None
    receipt: Row | None
    indicators: Row
    open_data: Row

    def agree(self) -> bool:
        """The convention binds all three, and the receipt bears the minutes that were served and the donor's value of them."""
        if self.mission is None or self.convention is None:
            return True
        if self.valuation is None or self.receipt is None:  # of a year whose ceilings are not known yet
            return bool(self.convention["state"] == "concluded")
        amount_cents = self.valuation["versions"][-1]["amount_cents"]
        told, known = (self.receipt["minutes"], self.receipt["amount_cents"]), (self.mission["served_minutes"], amount_cents)
        return bool(self.convention["state"] == "concluded" and told == known)


async def conclude_conventions(town: Town) -> None:
    """Before the first minute: of every mission where the campaign asks for it, else of the longest that a company lends
    somebody for."""
    given = town.memory.part("fates").get(town.insee, {})
    reserved = await town.as_operator.everything("/missions", state="reserved")
    going = [one for one in reserved if given.get(one["need_id"]) != fates.CANCELLED]
    chosen = town.memory.part("papers")
    lent = [one for one in going if one["company_id"] and given.get(one["need_id"]) == fates.SERVED]
    if lent and town.insee not in chosen:
        chosen[town.insee] = max(lent, key=lambda one: (one["minutes"], one["id"]))["id"]
        town.memory.save()
    missions = going if town.campaign["conventions_required"] else [one for one in going if one["id"] == chosen.get(town.insee)]
    if missions:
        await _write_parties(town, missions)
        await town.together(lambda mission: _conclude(town, mission), missions)
        town.say(f"{counted(len(missions), 'convention conclue')} : les trois parties ont accepté")


async def _conclude(town: Town, mission: Row) -> None:
    path, company_id = f"/conventions/{mission['id']}", mission["company_id"]
    await town.as_officer.put(path, {})
    sides = {
        "association": town.as_manager(mission["association_id"]),
        "contributor": town.as_manager(company_id) if company_id else town.as_member(mission["volunteer_id"]),
        "town": town.as_officer,
    }
    for side, session in sides.items():
        await session.post(f"{path}/versions/1/acceptances", {"side": side}, key=f"demo-convention-{side}-{mission['id']}")


async def _write_parties(town: Town, missions: list[Row]) -> None:
    """What the law wants papers to say of each."""

    async def write(party: tuple[str, str]) -> None:
        where, kind = party
        body = {
            "legal_form": LEGAL_FORMS[kind],
            "address": f"1 rue de l'Exemple, {town.name}",
            "representative_function": "maire" if kind == "town" else "présidente",
            "siren": EXAMPLE_SIREN,
            "object": "Ce que disent ses statuts (exemple)",
            "category": "organisme d'intérêt général",
        }
        await town.as_officer.put(f"/parties/{where}", body)

    kinds = {"town": "town"} | {one["association_id"]: "association" for one in missions}
    kinds |= {one["company_id"]: "company" for one in missions if one["company_id"]}
    await town.together(write, kinds.items())


async def issue_receipt(town: Town) -> None:
    """The company values the hours that were served, at cost; the association gives it the receipt."""
    mission = await _find_mission(town)
    if mission is None or mission["state"] != "closed":
        return
    today = local_date(utc_now())
    referent, manager = town.as_manager(mission["company_id"]), town.as_manager(mission["association_id"])
    laws = await referent.get("/patronage-laws")
    if today.year not in {law["year"] for law in laws["items"]}:
        town.say(f"plafonds du mécénat pour {today.year} pas encore connus : ni valorisation, ni reçu")
        return
    value = {
        "from_day": today.isoformat(),
        "to_day": today.isoformat(),
        "lines": [{"minutes": mission["served_minutes"], "hourly_cost_cents": HOURLY_COST_CENTS}],
        "share_with_town": True,
    }
    await referent.put(f"/valuations/{mission['id']}", value)
    ids = {"beneficiary_id": mission["association_id"], "donor_id": mission["company_id"], "mission_ids": [mission["id"]]}
    receipt = await manager.post("/receipts", ids | {"certified": True}, key=f"demo-receipt-{mission['id']}")
    town.say(f"mission valorisée par l'entreprise, reçu fiscal {receipt['label']} émis par l'association")


async def read_papers(town: Town) -> Papers:
    officer = town.as_officer
    mission = await _find_mission(town)
    convention = valuation = receipt = None
    if mission is not None:
        convention = await officer.get(f"/conventions/{mission['id']}")
        given = await officer.everything("/receipts", donor_id=mission["company_id"])
        if receipt := next((one for one in given if one["beneficiary_id"] == mission["association_id"]), None):
            valuation = await officer.get(f"/valuations/{mission['id']}")
    return Papers(
        mission=mission,
        convention=convention,
        valuation=valuation,
        receipt=receipt,
        indicators=await officer.get(f"{town.path}/indicators"),
        open_data=await officer.get(f"{town.path}/scdl", siret=EXAMPLE_SIRET),
    )


async def _find_mission(town: Town) -> Row | None:
    """The mission whose papers are shown."""
    id = town.memory.part("papers").get(town.insee)
    found: Row | None = await town.as_officer.get(f"/missions/{id}") if id else None
    return found
