"""`metis ledger ...`: one function for each export; returns the files it wrote."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.api import Session
from cli.console import console, errors
from cli.ledger_exports.screen import show_statements
from cli.ledger_exports.writing import find_campaign, find_campaigns, write_file, write_index, write_pages


@dataclass(frozen=True)
class Which:
    """Of the campaign's statements: one holder's, or everybody's one after the other; else that of the whole."""

    campaign: str | None = None
    association: str | None = None
    contributor: str | None = None
    volunteer: str | None = None
    each: bool = False

    async def list_paths(self, session: Session) -> list[str]:
        found = await find_campaign(session, ref=self.campaign)
        base = f"/campaigns/{found['id']}"
        if self.association:
            return [f"{base}/statements/{self.association}"]
        if self.contributor:
            return [f"{base}/contributor-statements/{self.contributor}"]
        if self.volunteer:
            return [f"{base}/volunteer-statements/{self.volunteer}"]
        paths = [f"{base}/statement"]
        if self.each:
            panel = [seat["association_id"] for seat in await session.everything(f"{base}/panel")]
            pledges = dict.fromkeys([pledge["contributor_id"] for pledge in await session.everything(f"{base}/pledges")])
            paths += [f"{base}/statements/{id}" for id in panel] + [f"{base}/contributor-statements/{id}" for id in pledges]
        return paths


async def export_statements(
    session: Session, folder: Path, which: Which, *, format: str, out: Path | None, parameters: dict[str, Any]
) -> list[Path]:
    """As files in the folder, or the one that is asked for as `out`; none for the screen."""
    paths = await which.list_paths(session)
    if format == "screen":
        await show_statements(session, paths, console, **parameters)
        return []
    return [await write_file(session, path, folder, out=out, format=format, **parameters) for path in paths]


async def export_in_kind(
    session: Session, folder: Path, *, campaign: str | None, association: str | None, since: str | None, until: str | None
) -> list[Path]:
    """One association's entries, or a file for each of the panel."""
    found = await find_campaign(session, ref=campaign)
    base = f"/campaigns/{found['id']}"
    panel = [association] if association else [seat["association_id"] for seat in await session.everything(f"{base}/panel")]
    return [
        await write_file(session, f"{base}/statements/{id}/in-kind", folder, format="csv", since=since, until=until)
        for id in panel
    ]


async def export_scdl(session: Session, folder: Path, *, campaign: str | None, siret: str, name: str | None) -> list[Path]:
    """The open data; what the schema's check will refuse is said beside."""
    found = await find_campaign(session, ref=campaign)
    path = f"/campaigns/{found['id']}/scdl"
    asked: dict[str, Any] = {"siret": siret} | ({"name": name} if name else {})
    for remark in (await session.get(path, **asked))["remarks"]:
        errors.print(f"[yellow]![/] {remark}")
    return [await write_file(session, path, folder, format="csv", **asked)]


async def export_beancount(session: Session, folder: Path, *, campaign: str | None, as_recorded_at: str | None) -> list[Path]:
    """A file for each campaign and, of several, one that includes them all."""
    asked = {"as_recorded_at": as_recorded_at} if as_recorded_at else {}
    files = [
        await write_pages(session, f"/campaigns/{found['id']}/beancount", folder, **asked)
        for found in await find_campaigns(session, ref=campaign)
    ]
    return files if len(files) == 1 else [*files, write_index(folder, files)]


async def export_indicators(session: Session, folder: Path, *, campaign: str | None) -> list[Path]:
    """The table, and the four pictures."""
    found = await find_campaign(session, ref=campaign)
    path = f"/campaigns/{found['id']}/indicators"
    pictures = [
        await write_file(session, path, folder, format="svg", series=series)
        for series in ("association", "field", "contributor", "month")
    ]
    return [await write_file(session, path, folder, format="csv"), *pictures]
