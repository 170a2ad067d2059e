"""Fetch exports from the API and write them as files."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cli.api import Session
from cli.console import CliError
from cli.http import Response

_FILE_NAME = re.compile(r'filename="([^"/\\]+)"')


async def find_campaigns(session: Session, *, ref: str | None) -> list[dict[str, Any]]:
    """The campaign of this ref, or all. Raises CliError when there is none."""
    found = await session.everything("/campaigns", **({"ref": ref} if ref else {}))
    if not found:
        raise CliError(
            f"Aucune campagne « {ref} »." if ref else "Ce territoire n'a encore aucune campagne.",
            cure="Donnez sa référence, celle de campagne.csv, avec --campaign.",
        )
    return found


async def find_campaign(session: Session, *, ref: str | None) -> dict[str, Any]:
    """The one that is meant. Raises CliError when several could be."""
    found = await find_campaigns(session, ref=ref)
    if len(found) > 1:
        names = ", ".join(campaign["ref"] for campaign in found)
        raise CliError("Ce territoire a plusieurs campagnes.", cure=f"Choisissez avec --campaign : {names}.")
    return found[0]


async def write_file(session: Session, path: str, folder: Path, *, out: Path | None = None, **parameters: Any) -> Path:
    """One file: `out`, or under the name that the platform gives it."""
    asked = {name: value for name, value in parameters.items() if value is not None}
    response = await session.request("GET", path, parameters=asked)
    return _write(out or folder / _name_of(response), response.content)


async def write_pages(session: Session, path: str, folder: Path, **parameters: Any) -> Path:
    """A file that comes in pages: each `Link` leads to the next part."""
    parts: list[bytes] = []
    while True:
        response = await session.request("GET", path, parameters=parameters)
        parts.append(response.content)
        link = response.headers.get("link")
        if not link:
            return _write(folder / _name_of(response), b"".join(parts))
        parameters = dict(parse_qsl(urlsplit(link.partition(">")[0].removeprefix("<")).query))


def write_index(folder: Path, files: Iterable[Path]) -> Path:
    """One file for Beancount that holds all campaigns."""
    lines = [f'include "{file.name}"' for file in files]
    return _write(folder / "metis.beancount", ("\n".join(lines) + "\n").encode())


def _name_of(response: Response) -> str:
    """The last part alone: a name never leads out of the folder."""
    found = _FILE_NAME.search(response.headers.get("content-disposition", ""))
    name = Path(found.group(1)).name if found else ""
    if name in {"", ".", ".."}:
        raise CliError(
            "La plateforme n'a pas donné de nom de fichier.", cure="Mettez la plateforme et l'outil à la même version."
        )
    return name


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
