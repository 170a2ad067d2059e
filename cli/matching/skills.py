"""The skills, read offline or from a town's platform, as tables."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from rich.markup import escape
from rich.table import Table

from cli.api import ApiError, Session
from cli.console import CliError, console, errors
from cli.http import make_client
from cli.wording import counted

T = TypeVar("T")
Entry = Mapping[str, Any]


class Source(Protocol):
    """Where skills are read: as the API shows them."""

    def find(self, words: str) -> list[Entry]: ...
    def read(self, code: str) -> Entry: ...


class Shipped:
    """The referential that comes with Métis, without any town's own words."""

    def find(self, words: str) -> list[Entry]:
        from services.matching.schemas.skills import SkillEntry

        vocabulary = self._vocabulary()
        return [SkillEntry.of(skill, vocabulary).model_dump() for skill in vocabulary.index.find(words)]

    def read(self, code: str) -> Entry:
        from services.matching.schemas.skills import SkillDetail

        vocabulary = self._vocabulary()
        if code not in vocabulary.referential.skills:
            raise _unknown(code)
        return SkillDetail.of(vocabulary.referential.skills[code], vocabulary).model_dump()

    def _vocabulary(self) -> Any:
        from services.matching.engine.referential import load_referential
        from services.matching.engine.vocabulary import Vocabulary

        errors.print(
            "Référentiel livré avec Métis, sans les mots de votre territoire (donnez --client-id pour les avoir).", style="dim"
        )
        return Vocabulary(load_referential())


class Platform:
    """A town's own view."""

    def __init__(self, url: str, *, client_id: str, client_secret: str) -> None:
        self._url, self._client_id, self._secret = url, client_id, client_secret

    def find(self, words: str) -> list[Entry]:
        items: list[Entry] = self.ask(lambda session: session.get("/skills", q=words))["items"]
        return items

    def read(self, code: str) -> Entry:
        try:
            entry: Entry = self.ask(lambda session: session.get(f"/skills/{quote(code)}"))
        except ApiError as error:
            raise _unknown(code) if error.status in {404, 422} else error from error
        return entry

    def ask(self, question: Callable[[Session], Awaitable[T]]) -> T:
        territory = self._client_id.partition(".")[0]

        async def run() -> T:
            async with make_client(self._url) as http:
                return await question(Session(http, self._url.rstrip("/"), territory, self._client_id, self._secret))

        return asyncio.run(run())


def make_source(client_id: str, client_secret: str, find_url: Callable[[], str]) -> Source:
    return make_platform(client_id, client_secret, find_url) if client_id else Shipped()


def make_platform(client_id: str, client_secret: str, find_url: Callable[[], str]) -> Platform:
    if "." not in client_id or not client_secret:
        raise CliError(
            "Il faut le client d'un agent et son secret.",
            cure="Donnez --client-id 92071.… et --client-secret …, ou METIS_CLIENT_ID et METIS_CLIENT_SECRET.",
        )
    return Platform(find_url(), client_id=client_id, client_secret=client_secret)


def _unknown(code: str) -> CliError:
    return CliError(f"Il n'y a pas de compétence « {code} ».", cure="Cherchez-la par ses mots : metis match skills search …")


def print_groups() -> None:
    """The groups with their skills' codes."""
    from services.matching.engine.referential import load_referential

    referential = load_referential()
    table = Table(
        title=f"{counted(len(referential.skills), 'compétence')} (référentiel {referential.version})", title_justify="left"
    )
    table.add_column("Famille", overflow="fold")
    table.add_column("Code", style="dim")
    table.add_column("Compétences", overflow="fold")
    for group in referential.groups.values():
        codes = [skill.code for skill in referential.skills.values() if skill.parent == group.code]
        table.add_row(group.name_fr, group.code, ", ".join(codes))
    console.print(table)
    console.print("Ensuite : [bold]metis match skills search MOTS[/] · [bold]metis match skills show CODE[/]")


def print_found(source: Source, words: str, *, limit: int) -> None:
    found = source.find(words)
    if not found:
        raise CliError(
            f"Aucune compétence n'a tous ces mots : « {words} ».",
            cure='Essayez moins de mots, ou un texte entier : metis match suggest "…". Sinon : metis match skills propose.',
        )
    table = Table(title=f"« {escape(words)} » : {len(found)} compétence{'s' if len(found) > 1 else ''}", title_justify="left")
    for heading in ("Compétence", "Code", "Famille", "Définition"):
        table.add_column(heading, overflow="fold")
    for entry in found[:limit]:
        name = escape(entry["name_fr"]) + (" [magenta](locale)[/]" if entry["is_local"] else "")
        table.add_row(name, escape(entry["code"]), escape(entry["group"]["name_fr"]), escape(entry["definition"]))
    console.print(table)


_SECTIONS = (
    ("asks", "Des associations le disent ainsi"),
    ("gives", "Des bénévoles le disent ainsi"),
    ("titles", "Métiers"),
    ("tools", "Outils"),
    ("false_friends", "Faux amis (autre sens)"),
)


def print_skill(source: Source, code: str) -> None:
    entry = source.read(code)
    console.print(f"[bold]{escape(entry['name_fr'])}[/]  [dim]{escape(entry['code'])} · {escape(entry['name_en'])}[/]")
    console.print(escape(entry["definition"]))
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Famille", escape(entry["group"]["name_fr"]))
    table.add_row("Synonymes", _join(entry["synonyms"]))
    if own := entry["own_synonyms"]:
        table.add_row("Les vôtres", _join([word["phrase"] for word in own]))
    near = [f"{one['name_fr']} ({one['code']}, {one['percent']} %)" for one in entry["near"]]
    table.add_row("Proches", _join(near))
    for field, heading in _SECTIONS:
        if entry[field]:
            table.add_row(heading, _join(entry[field], between=" · "))
    table.add_row("ROME, ESCO", _join([*entry["rome"], *entry["esco"]]))
    console.print(table)


def _join(texts: Sequence[str], *, between: str = ", ") -> str:
    return escape(between.join(texts)) or "[dim]—[/]"
