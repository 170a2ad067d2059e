"""A bundle of the ledger through the public API, page by page, into a file that can be continued."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cli.api import Session
from cli.console import CliError
from cli.http import Response, make_client

_PAGE_SECONDS = 120


async def export_ledger(
    url: str, *, territory: str, out: Path, client_id: str, client_secret: str, tell: Callable[[str], object]
) -> int:
    """Write the bundle; returns its rows. What is already in `<out>.part` is kept: an interrupted export goes on."""
    part, mark = out.with_name(out.name + ".part"), out.with_name(out.name + ".part.json")
    after, length = _resume(part, mark, territory)
    if after:
        tell(f"Reprise après le bloc {after}.")
    async with make_client(url, timeout_seconds=_PAGE_SECONDS) as http:
        session = Session(http, url, territory, client_id, client_secret)
        with part.open("r+b" if part.exists() else "w+b") as file:
            file.truncate(length)
            file.seek(length)
            following: int | None = after
            while following is not None:
                page = await session.request("GET", "/ledger/bundle", parameters={"after_block": following})
                file.write(page.content)
                file.flush()
                os.fsync(file.fileno())
                if (following := _next_block(page)) is not None:
                    mark.write_text(json.dumps({"territory": territory, "after": following, "length": file.tell()}))
                    tell(f"{file.tell() // 1024} Kio, bloc {following}…")
    part.replace(out)
    mark.unlink(missing_ok=True)
    with out.open("rb") as file:
        return sum(line.startswith(b"[") for line in file)


def _resume(part: Path, mark: Path, territory: str) -> tuple[int, int]:
    """After which block, and how much of the file is whole."""
    try:
        kept = json.loads(mark.read_text())
        if part.is_file() and part.stat().st_size >= kept["length"] and kept["territory"] == territory:
            return int(kept["after"]), int(kept["length"])
    except (OSError, ValueError, KeyError):
        return 0, 0
    raise CliError(f"{part} n'est pas le début de cet export.", cure=f"Supprimez {part} et {mark}, puis recommencez.")


def _next_block(page: Response) -> int | None:
    link = page.headers.get("link", "")
    if 'rel="next"' not in link:
        return None
    return int(parse_qs(urlsplit(link[1 : link.index(">")]).query)["after_block"][0])
