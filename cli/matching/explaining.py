"""What `metis match why` and its neighbours ask the platform, and how they show it."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson
from rich.markup import escape
from rich.table import Table

from cli.api import Session
from cli.console import CliError, console
from cli.http import HTTPError, make_client
from cli.wording import counted, hours


class Source(Protocol):
    """Where answers come from."""

    def read(self, path: str, **parameters: str) -> bytes:
        """The body of a GET below the territory."""


class Asker:
    """Somebody with a client at their territory."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self._territory, dot, _ = client_id.partition(".")
        if not dot or not client_secret:
            raise CliError(
                "Il faut un client de votre territoire et son secret.",
                cure="Donnez --client-id 92071.… et --client-secret …, ou METIS_CLIENT_ID et METIS_CLIENT_SECRET.",
            )
        self._url, self._client_id, self._client_secret = url.rstrip("/"), client_id, client_secret

    def get(self, path: str, **parameters: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.read(path, **parameters))
        return found

    def read(self, path: str, **parameters: str) -> bytes:
        """Raises ApiError for a refusal."""

        async def ask() -> bytes:
            async with make_client(self._url) as http:
                session = Session(http, self._url, self._territory, self._client_id, self._client_secret)
                return (await session.request("GET", path, parameters=parameters)).content

        return asyncio.run(ask())


class Visitor:
    """Anybody: what the law has published is read without a token."""

    def __init__(self, url: str, territory: str) -> None:
        self._base = f"{url.rstrip('/')}/v1/territories/{territory}"

    def get(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(self.read(path))
        return found

    def read(self, path: str, **parameters: str) -> bytes:
        async def ask() -> bytes:
            async with make_client() as http:
                answer = await http.request("GET", f"{self._base}{path}", params=parameters)
            if not answer.is_success:
                raise CliError("Les règles ne se lisent pas.", cure="Vérifiez le code INSEE et l'adresse.", detail=answer.text)
            return answer.content

        try:
            return asyncio.run(ask())
        except HTTPError as error:
            raise CliError(
                "La plateforme ne répond pas.", cure="Vérifiez --url, ou lancez `metis up`.", detail=str(error)
            ) from error


def keep_page(source: Source, path: str, file: Path, **parameters: str) -> None:
    file.write_bytes(source.read(path, **parameters))
    console.print(f"Page écrite : [bold]{escape(str(file))}[/]")


def print_why(found: Mapping[str, Any]) -> None:
    console.print(f"Score : [bold]{found['score']}[/] sur 100, pondérations version {found['weights_version']}")
    _print_criteria(found["criteria"])


def print_why_not(found: Mapping[str, Any]) -> None:
    console.print(f"[bold]{escape(found['conclusion'])}[/]")
    _print_rows("Ce qui bloque", ("Condition", "Pourquoi"), [(gate["name"], gate["sentence"]) for gate in found["gates"]])
    for limit in found["limits"]:
        console.print(f"[yellow]![/] {escape(limit)}")
    if found["smallest_change"]:
        console.print(f"Le plus petit changement : {escape(found['smallest_change']['sentence'])}")
    if found["taken"]:
        rows = [(one["title"] or "une autre mission", hours(one["minutes"]), one["state"]) for one in found["taken"]]
        _print_rows("Où sont les heures de l'offre", ("Mission", "Heures", "État"), rows)
    if found["criteria"]:
        console.print(f"Score de cette paire : [bold]{found['score']}[/]")
        _print_criteria(found["criteria"])


def print_changes(found: Mapping[str, Any]) -> None:
    console.print(f"[bold]{escape(found['title'])}[/]\n{escape(found['conclusion'])}")
    for limit in found["limits"]:
        console.print(f"[yellow]![/] {escape(limit)}")
    sides = {"association": "l'association", "volunteer": "la personne bénévole", "town": "la ville"}
    rows = [
        (
            one["sentence"],
            ", ".join(dict.fromkeys(sides[change["whose"]] for change in one["changes"])),
            one["cost"],
            one["score"],
        )
        for one in found["changes"]
    ]
    _print_rows("Changements qui suffiraient, le plus petit d'abord", ("Changement", "À qui", "Coût", "Score alors"), rows)
    _print_rows("Ce qui arrête les offres", ("Condition", "Offres"), [(one["name"], one["offers"]) for one in found["blocked"]])
    if not found["complete"]:
        console.print(f"{counted(found['offers'], 'offre examinée')}, les plus proches par leurs compétences.")


def print_rules(found: Mapping[str, Any]) -> None:
    versions = found["versions"]
    console.print(f"[bold]Règles de {escape(found['territory']['name'])}[/], pondérations version {versions['weights']}")
    rows = [(one["label"], one["points"], one["source"]) for one in found["criteria"]]
    _print_rows("Critères", ("Critère", "Points au plus", "Données"), rows)
    _print_rows("Conditions", ("Condition", "Ce qui est demandé"), [(one["name"], one["asks"]) for one in found["gates"]])
    console.print(escape(found["human_decision"]))
    console.print(escape(found["no_protected_trait"]))


def print_equity(found: Mapping[str, Any]) -> None:
    console.print(f"Besoins ouverts du {found['since']} au {found['until']} : {found['all']['needs'] or 'moins de 5'}")
    for title, groups in (("Par taille d'association", found["sizes"]), ("Par domaine d'action", found["fields"])):
        rows = [
            (one["name"], "non montré", "", "") if one["hidden"]
            else (one["name"], one["needs"], _percent(one["rate"]), f"{_percent(one['low'])} à {_percent(one['high'])}")
            for one in groups
        ]  # fmt: skip
        _print_rows(title, ("Groupe", "Besoins", "Taux", "Intervalle à 95 %"), rows)
    for line in found["method"]:
        console.print(escape(line), style="dim")


def print_feedback(found: Mapping[str, Any]) -> None:
    for version in found["versions"]:
        number = "d'avant les versions" if version["weights_version"] is None else f"version {version['weights_version']}"
        words = {"proposed": "proposée", "agreed": "agréée", "declined": "déclinée"}
        told = ", ".join(counted(version[name], word) for name, word in words.items())
        console.print(f"[bold]Pondérations {number}[/] : {told}")
        weights = version["weights"] or {}
        accepted = {one["criterion"]: one["total"] for one in version["accept"]}
        rows = [
            (one["label"], weights.get(one["criterion"], ""), accepted[one["criterion"]], one["total"], one["association"],
             one["volunteer"], one["company"])
            for one in version["decline"]
        ]  # fmt: skip
        headers = ("Critère", "Points", "Oui", "Non", "dont association", "bénévole", "entreprise")
        _print_rows("Réponses", headers, rows)
    console.print(escape(found["note"]), style="dim")


def _print_criteria(criteria: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (one["label"], f"{one['points']} / {one['maximum']}", one["why"], one["calculation"],
         " ; ".join(f"« {words['words']} »" for words in one["words"]))
        for one in criteria
    ]  # fmt: skip
    _print_rows("Critères", ("Critère", "Points", "Pourquoi", "Calcul", "Mots des textes"), rows)


def _print_rows(title: str, headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left")
    for header in headers:
        table.add_column(header)
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.0f} %"
