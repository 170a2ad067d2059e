"""Steps 1 to 3 of a campaign (DOMAIN.md): registry, opening, pledges, grants."""

from typing import Any
from uuid import uuid4

from cli.api import Session
from cli.console import CliError
from cli.demo.town import Town, wait_until
from cli.importer.checking import read_folder
from cli.importer.layouts import make_layouts
from cli.importer.sending import FileResult, Importer
from cli.wording import counted, hours

REGISTRY_FILES = ("communes", "acteurs", "membres", "campagne", "subventions")
PLEDGE_FILES = ("promesses",)
MATCHING_FILES = ("besoins", "offres")

EXTRA_MINUTES, TAKEN_BACK_MINUTES, DOUBLED_MINUTES, ADJUSTED_MINUTES = 240, 60, 300, 60
TAKEN_BACK = "Planning réduit : une heure de moins que prévu."
DOUBLED = "Promesse saisie deux fois : le courrier et le courriel disaient la même chose."
ADJUSTED = "Accord en commission : l'association laisse une heure à l'enveloppe commune."


async def found_territory(town: Town, *, admin_secret: str) -> None:
    """The instance's administrator creates the territory and its first officer's client."""
    admin = town.admin(admin_secret)
    await admin.put("", {"name": town.name})
    await town.issue(admin, "agent", {"name": f"Agent de {town.name}", "roles": ["officer"]})
    town.memory.save()


async def import_files(town: Town, session: Session, stems: tuple[str, ...]) -> list[FileResult]:
    """What `metis import` does, for some of the folder's files. A rejected row ends the demo: its files are good."""
    folder = read_folder(town.folder, make_layouts(town.memory.part("dates")["shift_days"]))
    importer: Importer = town.notes.setdefault("importer", Importer(session))
    results = [await importer.send_file(file) for file in folder.files if file.layout.stem in stems]
    for result in results:
        for reject in result.rejects:
            raise CliError(
                f"{town.name}, {reject.file}, ligne {reject.line} : {reject.reason}",
                cure=f"Corrigez {town.folder / reject.file}.",
            )
    town.say("fichiers importés : " + ", ".join(_summary(result) for result in results))
    return results


def _summary(result: FileResult) -> str:
    new = result.counts["created"] + result.counts["changed"]
    if new == result.rows:
        return f"{result.name} {result.rows}"
    return f"{result.name} {result.rows} ({counted(new, 'nouvelle') if new else 'rien de nouveau'})"


async def open_campaign(town: Town) -> None:
    if town.campaign["state"] == "draft":
        await town.as_officer.post(f"{town.path}/opening", key=f"demo-opening-{town.campaign['id']}")
        await town.read_campaign(town.as_officer)
        town.say(f"campagne « {town.campaign['title']} » ouverte par {town.officer['display_name']}")


async def change_pledges(town: Town) -> None:
    """A company promises more and takes a part of it back; a promise that was entered twice is reversed."""
    pledges = await town.as_officer.everything(f"{town.path}/pledges")
    company = max((p for p in pledges if p["contributor_id"] in town.actors), key=lambda p: (p["stated_minutes"], p["ref"]))
    await town.issue_to_members([town.manager_of(company["contributor_id"])])
    await _promise_more(town, company)
    await _reverse_double(town, company)


async def _promise_more(town: Town, company: dict[str, Any]) -> None:
    referent = town.as_manager(company["contributor_id"])
    body = {
        "contributor_id": company["contributor_id"],
        "minutes": EXTRA_MINUTES,
        "note": "Complément décidé en comité d'entreprise.",
    }
    extra = await referent.put(f"{town.path}/pledges/refs/{company['ref']}-complement", body)
    if extra["minutes"] == EXTRA_MINUTES:
        withdrawal = {"minutes": TAKEN_BACK_MINUTES, "reason": TAKEN_BACK}
        await referent.post(f"/pledges/{extra['id']}/withdrawals", withdrawal, key=f"demo-withdrawal-{extra['id']}")
        town.say(f"{town.actor_name(company['contributor_id'])} complète sa promesse de 4 h, puis en retire 1 h")


async def _reverse_double(town: Town, company: dict[str, Any]) -> None:
    body = {"contributor_id": company["contributor_id"], "minutes": DOUBLED_MINUTES, "note": "Saisie du courrier."}
    doubled = await town.as_operator.put(f"{town.path}/pledges/refs/{company['ref']}-doublon", body)
    transfers = await town.as_officer.everything(f"{town.path}/transfers", kind="pledge")
    entered = next(transfer for transfer in transfers if transfer["pledge_id"] == doubled["id"])
    if entered["reversed_by"] is None:
        await town.as_officer.post(
            f"/transfers/{entered['id']}/reversal", {"reason": DOUBLED}, key=f"demo-reversal-{entered['id']}"
        )
        town.say("une promesse saisie deux fois est contre-passée")


async def sign_grants(town: Town) -> None:
    """The operator has the grants computed; the officer adjusts one, with the reason, and signs."""
    if await town.as_officer.everything(f"{town.path}/grants", limit=1):
        return
    await wait_until(lambda: _panel_is_known(town), what="le service des crédits connaît les associations du panel")
    proposal = await town.as_operator.post(f"{town.path}/grant-proposals", key=str(uuid4()))
    largest = max(proposal["lines"], key=lambda line: (line["computed_minutes"], line["association_id"]))
    adjustment = {
        "association_id": largest["association_id"],
        "minutes": largest["computed_minutes"] - ADJUSTED_MINUTES,
        "reason": ADJUSTED,
    }
    signed = await town.as_officer.post(
        f"{town.path}/grants", {"proposal_id": proposal["id"], "adjustments": [adjustment]}, key=f"demo-grants-{proposal['id']}"
    )
    grants = f"{counted(len(signed['grants']), 'dotation calculée')}, puis signature ({hours(signed['total_minutes'])})"
    town.say(f"{grants}, une ajustée ({largest['association_name']})")


async def _panel_is_known(town: Town) -> bool:
    seats = await town.as_officer.everything(f"{town.path}/panel")
    return all(seat["association_name"] for seat in seats)
