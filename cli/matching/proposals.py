"""What an officer adds to the skills from the command line, and what real use says is missing."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from rich.markup import escape
from rich.table import Table

from cli.api import ApiError, Session
from cli.console import CliError, console
from cli.matching.skills import make_platform

FindUrl = Callable[[], str]
_LISTS = ("asks", "gives", "titles", "tools", "false_friends")


def add_synonym(client_id: str, client_secret: str, find_url: FindUrl, *, code: str, phrase: str, reason: str) -> None:
    path = f"/skills/{quote(code)}/synonyms"
    _send(client_id, client_secret, find_url, path, {"phrase": phrase, "reason": reason})
    console.print(f"« [bold]{escape(phrase)}[/] » nomme désormais [bold]{escape(code)}[/] dans votre territoire.")


def withdraw_synonym(client_id: str, client_secret: str, find_url: FindUrl, *, code: str, phrase: str, reason: str) -> None:
    platform = make_platform(client_id, client_secret, find_url)
    path = f"/skills/{quote(code)}/synonyms"
    words = platform.ask(lambda session: session.everything(path, state="in_force"))
    wanted = phrase.strip().casefold()
    found = next((word for word in words if word["phrase"].casefold() == wanted), None)
    if found is None:
        known = ", ".join(word["phrase"] for word in words) or "aucun"
        raise CliError(f"Votre territoire n'a pas ajouté « {phrase} » à {code}.", cure=f"Ses mots à vous : {known}.")
    _send(client_id, client_secret, find_url, f"{path}/{found['id']}/withdrawal", {"reason": reason})
    console.print(f"« {escape(found['phrase'])} » ne nomme plus {escape(code)}. Ce qui est confirmé reste.")


def read_proposals(
    file: Path | None, *, name: str, english: str, definition: str, group: str, synonyms: Sequence[str], near: Sequence[str]
) -> list[dict[str, Any]]:
    """Bodies of the API, without their reason: of the options, or of every `[[skill]]` of a file of the referential's form."""
    if file is not None:
        return _read_file(file)
    missing = [
        option
        for option, value in (("--name", name), ("--definition", definition), ("--group", group), ("--synonym", synonyms))
        if not value
    ]
    if missing:
        raise CliError(f"Il manque {', '.join(missing)}.", cure="Donnez-les, ou --file avec un fichier TOML du référentiel.")
    body = {"name_fr": name, "name_en": english or name, "definition": definition, "parent": group}
    return [body | {"synonyms": list(synonyms), "near": dict(_read_near(text) for text in near)}]


def _read_near(text: str) -> tuple[str, int]:
    code, equals, percent = text.replace(" ", "").removesuffix("%").partition("=")
    if not equals or not percent.isdigit():
        raise CliError(f"Illisible : --near {text}", cure="Écrivez le code, un signe égal et un pourcentage : jardinage=40.")
    return code, int(percent)


def _read_file(file: Path) -> list[dict[str, Any]]:
    try:
        entries = tomllib.loads(file.read_text(encoding="utf-8")).get("skill", [])
    except OSError as error:
        raise CliError(f"{file} ne se lit pas.", cure="Vérifiez le chemin.", detail=str(error)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CliError(f"{file} n'est pas un fichier TOML.", cure="Prenez la forme de `export`.", detail=str(error)) from error
    if not entries:
        raise CliError(f"{file} n'a aucune table [[skill]].", cure="Prenez la forme de `metis match skills export`.")
    try:
        return [_body_of(entry) for entry in entries]
    except (KeyError, TypeError, AttributeError) as error:
        raise CliError(
            f"{file} : une compétence est incomplète ({error}).",
            cure='Chacune a name = { fr = "…", en = "…" }, definition, parent, synonyms.',
        ) from error


def _body_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name_fr": entry["name"]["fr"],
        "name_en": entry["name"]["en"],
        "definition": entry["definition"],
        "parent": entry["parent"],
        "synonyms": entry["synonyms"],
        "near": {code: round(100 * share) for code, share in entry.get("near", {}).items()},
        **{field: entry[field] for field in _LISTS if field in entry},
    }


def propose(
    client_id: str, client_secret: str, find_url: FindUrl, *, proposals: Sequence[Mapping[str, Any]], reason: str
) -> None:
    for body in proposals:
        skill = _send(client_id, client_secret, find_url, "/skill-proposals", {**body, "reason": reason})
        console.print(
            f"[bold]{escape(skill['name_fr'])}[/] proposée : code [bold]{escape(skill['code'])}[/], utilisable aussitôt."
        )
    console.print("Ensuite, pour le référentiel : [bold]metis match skills export --out propositions.toml[/]")


def withdraw(client_id: str, client_secret: str, find_url: FindUrl, *, code: str, reason: str) -> None:
    _send(client_id, client_secret, find_url, f"/skill-proposals/{quote(code)}/withdrawal", {"reason": reason})
    console.print(f"{escape(code)} est retirée. Les besoins et offres qui l'ont la gardent.")


def print_unknown(client_id: str, client_secret: str, find_url: FindUrl, *, limit: int) -> None:
    platform = make_platform(client_id, client_secret, find_url)
    items = platform.ask(lambda session: session.get("/skills/unknown-labels", limit=limit))["items"]
    if not items:
        console.print("Tous les mots écrits dans vos besoins et offres nomment une compétence.")
        return
    table = Table(title="Mots qu'aucune compétence ne connaît", title_justify="left")
    table.add_column("Mots", overflow="fold")
    table.add_column("Besoins", justify="right")
    table.add_column("Offres", justify="right")
    table.add_column("Peut-être", overflow="fold")
    for item in items:
        table.add_row(
            escape(item["label"]), str(item["needs"]), str(item["offers"]), escape(", ".join(item["nearest"])) or "[dim]—[/]"
        )
    console.print(table)
    console.print('Ensuite : [bold]metis match skills add-synonym CODE "MOTS" --reason "…"[/]')


def export(client_id: str, client_secret: str, find_url: FindUrl, *, out: Path | None) -> None:
    platform = make_platform(client_id, client_secret, find_url)

    async def fetch(session: Session) -> bytes:
        return (await session.request("GET", "/skill-proposals/export")).content

    content = platform.ask(fetch)
    if out is None:
        console.print(content.decode(), end="", markup=False, soft_wrap=True)
        return
    out.write_bytes(content)
    console.print(f"Écrit : [bold]{escape(str(out))}[/]. À relire, puis à proposer au référentiel.")


def _send(client_id: str, client_secret: str, find_url: FindUrl, path: str, body: Mapping[str, Any]) -> Any:
    """Write once, however often the line breaks; a clash is told in the words of the town."""
    platform = make_platform(client_id, client_secret, find_url)
    key = str(uuid4())
    try:
        return platform.ask(lambda session: session.post(path, body, key=key))
    except ApiError as error:
        if error.code == "skill-word-taken":
            raise _taken(error) from error
        raise


_KINDS = {
    "code": "le code",
    "name": "le nom",
    "english_name": "le nom anglais",
    "synonym": "un synonyme",
    "false_friend": "un faux ami",
}


def _taken(error: ApiError) -> CliError:
    clashes = "\n".join(_describe(clash) for clash in error.problem.get("clashes", []))
    return CliError(f"{clashes}.", cure="Utilisez cette compétence, ou choisissez d'autres mots.")


def _describe(clash: Mapping[str, Any]) -> str:
    kind = _KINDS.get(clash["kind"], clash["kind"])
    return f"« {clash['phrase']} » est {kind} de {clash.get('name_fr', clash['code'])} ({clash['code']})"
