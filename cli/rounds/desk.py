"""What `metis round` does with the platform, over the public API."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cli.api import ApiError, Session
from cli.console import CliError, console, errors
from cli.http import make_client
from cli.rounds import tables
from cli.rounds.weights import change_weights, find_weights
from cli.wording import counted

T = TypeVar("T")
UNDER_WAY = frozenset({"asked", "computing"})
LAST = frozenset({"dernier", "last"})
LOOK_SECONDS = 0.5
SHORTEST_PREFIX = 4
FAILED = 1


@dataclass(frozen=True)
class Login:
    url: str
    client_id: str
    client_secret: str = field(repr=False)


def _run(login: Login, act: Callable[[Session], Awaitable[T]]) -> T:
    """One command in one session."""
    territory, dot, _ = login.client_id.partition(".")
    if not dot or not login.client_secret:
        raise CliError(
            "Il faut le client d'un agent et son secret.",
            cure="Donnez --client-id 92071.… et --client-secret …, ou METIS_CLIENT_ID et METIS_CLIENT_SECRET.",
        )

    async def go() -> T:
        async with make_client(login.url, timeout_seconds=120) as http:
            return await act(Session(http, login.url.rstrip("/"), territory, login.client_id, login.client_secret))

    return asyncio.run(go())


async def _find(session: Session, name: str) -> dict[str, Any]:
    """A round by its id, by the beginning of its id, or the newest."""
    try:
        found: dict[str, Any] = await session.get(f"/rounds/{UUID(name)}")
        return found
    except ValueError:
        pass
    listed = await session.everything("/rounds")
    if name in LAST:
        chosen = listed[-1:]
    else:
        chosen = [one for one in listed if len(name) >= SHORTEST_PREFIX and one["id"].startswith(name)]
    if not chosen:
        raise CliError(
            f"Il n'y a pas de tour « {name} » ici.", cure="metis round list les donne ; « dernier » est le plus récent."
        )
    if len(chosen) > 1:
        raise CliError(f"« {name} » désigne {len(chosen)} tours.", cure=f"Donnez-en davantage : {chosen[0]['id']}, …")
    found = await session.get(f"/rounds/{chosen[0]['id']}")
    return found


async def _find_campaign(session: Session, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await session.get(f"/campaigns/{UUID(name)}")
        return found
    except ValueError:
        items = (await session.get("/campaigns", ref=name))["items"]
    if not items:
        raise CliError(f"Il n'y a pas de campagne « {name} » dans ce territoire.", cure="Donnez sa référence (colonne `ref`).")
    first: dict[str, Any] = items[0]
    return first


# ---- Asking and watching --------------------------------------------------------------------------------------------


def ask_round(login: Login, campaign: str, terms: Mapping[str, Any], *, wait: bool) -> int:
    async def act(session: Session) -> int:
        found = await _find_campaign(session, campaign)
        body = {"campaign_id": found["id"], **_given(terms)}
        return await _follow(session, await session.post("/rounds", body, key=str(uuid4())), wait=wait)

    return _run(login, act)


def ask_again(login: Login, name: str, terms: Mapping[str, Any], *, wait: bool) -> int:
    async def act(session: Session) -> int:
        earlier = await _find(session, name)
        asked = await session.post(f"/rounds/{earlier['id']}/again", _given(terms), key=str(uuid4()))
        code = await _follow(session, asked, wait=wait)
        if wait and not code and earlier["proposals_digest"]:
            console.print(f"Comparer : [bold]metis round compare {asked['id'][:13]} {earlier['id'][:13]}[/]")
        return code

    return _run(login, act)


def try_weights(login: Login, name: str, given: Sequence[str], *, note: str, wait: bool) -> int:
    """`given`: name=points each; weights that are not named stay as the past round had them."""

    async def act(session: Session) -> int:
        origin = await _find(session, name)
        if origin.get("trial_of"):
            console.print(f"{origin['id'][:13]} est un essai : ces poids sont essayés sur son tour d'origine.")
            origin = await session.get(f"/rounds/{origin['trial_of']}")
        known = await session.get("/weights")
        before = find_weights(known, origin["terms"]["weights_version"])
        tried = change_weights(before, given, known["bounds"])
        tables.print_tried(console, before, tried)
        asked = await session.post(f"/rounds/{origin['id']}/trials", {**tried, "note": note}, key=str(uuid4()))
        code = await _follow(session, asked, wait=wait)
        if not wait:
            console.print(f"La suite : [bold]metis round watch {asked['id'][:13]}[/]")
        return code

    return _run(login, act)


async def _conclude_trial(session: Session, trial: Mapping[str, Any]) -> None:
    """Beside its origin, and how the weights would come into force."""
    compared = await session.get(f"/rounds/{trial['id']}/comparison", **{"with": trial["trial_of"]})
    tables.print_comparison(console, compared)
    in_force = await session.get("/weights")
    tables.print_next_of_trial(console, trial, territory=session.territory, version=in_force["version"])


def _given(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in terms.items() if value is not None}


def watch_round(login: Login, name: str) -> int:
    async def act(session: Session) -> int:
        return await _follow(session, await _find(session, name), wait=True)

    return _run(login, act)


async def _follow(session: Session, asked: dict[str, Any], *, wait: bool) -> int:
    """Show how far it is until it is computed; then what to do next. Exit code 1 when it failed or was stopped."""
    console.print(f"Tour [bold]{asked['id']}[/]")
    found = await _watch(session, asked) if wait else asked
    tables.print_head(console, found)
    if found["state"] == "computed":
        short = found["id"][:13]
        tables.print_figures(console, found)
        if found.get("trial_of"):
            await _conclude_trial(session, found)
            return 0
        console.print(f"Rien n'est envoyé. Voir : [bold]metis round show {short}[/], [bold]metis round page {short}[/]")
        console.print(f"Envoyer : [bold]metis round release {short}[/]")
    return FAILED if found["state"] in {"failed", "stopped"} else 0


async def _watch(session: Session, asked: dict[str, Any]) -> dict[str, Any]:
    found = asked
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        task = bar.add_task(tables.describe_phase(found), total=None)
        while found["state"] in UNDER_WAY:
            await asyncio.sleep(LOOK_SECONDS)
            found = await session.get(f"/rounds/{asked['id']}")
            progress = found.get("progress") or {}
            total = progress.get("total") or None
            bar.update(task, description=tables.describe_phase(found), total=total, completed=progress.get("done") or 0)
    return found


# ---- Looking --------------------------------------------------------------------------------------------------------


def list_rounds(login: Login, campaign: str) -> None:
    async def act(session: Session) -> None:
        named = {"campaign_id": (await _find_campaign(session, campaign))["id"]} if campaign else {}
        tables.print_list(console, await session.everything("/rounds", **named))

    _run(login, act)


def show_round(login: Login, name: str, *, with_proposals: bool) -> None:
    async def act(session: Session) -> None:
        found = await _find(session, name)
        tables.print_head(console, found)
        if not found.get("result"):
            return
        tables.print_figures(console, found)
        tables.print_fairness(console, found)
        tables.print_shares(console, found)
        if with_proposals:
            path = f"/rounds/{found['id']}"
            tables.print_proposals(console, await session.everything(f"{path}/proposals"))
            tables.print_unserved(console, await session.everything(f"{path}/unserved"))
        tables.print_choices(console, (await session.get(f"/rounds/{found['id']}/choices"))["items"])
        console.print(escape(found["notice"]), style="dim")

    _run(login, act)


def compare_rounds(login: Login, name: str, other: str) -> None:
    async def act(session: Session) -> None:
        one, two = await _find(session, name), await _find(session, other)
        tables.print_comparison(console, await session.get(f"/rounds/{one['id']}/comparison", **{"with": two["id"]}))

    _run(login, act)


def write_page(login: Login, name: str, out: Path) -> None:
    async def act(session: Session) -> None:
        found = await _find(session, name)
        response = await session.request("GET", f"/rounds/{found['id']}/page")
        await asyncio.to_thread(out.write_bytes, response.content)
        console.print(f"[green]✓[/] {escape(str(out))} : à ouvrir dans un navigateur, ou à imprimer.")

    _run(login, act)


# ---- Deciding -------------------------------------------------------------------------------------------------------


def stop_round(login: Login, name: str, reason: str) -> None:
    async def act(session: Session) -> None:
        found = await _find(session, name)
        tables.print_head(console, await session.post(f"/rounds/{found['id']}/stop", {"reason": reason}, key=str(uuid4())))

    _run(login, act)


def choose_pair(login: Login, name: str, need: str, offer: str, *, kind: str, reason: str) -> None:
    """`kind`: pin, exclude, or nothing to take a choice back."""

    async def act(session: Session) -> None:
        found = await _find(session, name)
        path = f"/rounds/{found['id']}/choices/{_uuid(need, 'besoin')}/{_uuid(offer, 'offre')}"
        if kind:
            await session.put(path, {"kind": kind, "reason": reason})
        else:
            await session.request("DELETE", path, body={"reason": reason})
        tables.print_choices(console, (await session.get(f"/rounds/{found['id']}/choices"))["items"])
        if found["state"] != "asked":
            console.print(f"Recalculer avec ces choix : [bold]metis round again {found['id'][:13]}[/]")

    _run(login, act)


def _uuid(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CliError(f"« {text} » n'est pas l'identifiant d'un(e) {what}.", cure="metis round show les donne.") from None


def release_round(login: Login, name: str, *, note: str, yes: bool) -> int:
    async def act(session: Session) -> int:
        found = await _find(session, name)
        if found.get("trial_of"):
            raise CliError(
                f"Le tour {found['id'][:13]} est un essai de poids : il ne s'envoie pas.",
                cure=f"Mettez ces poids en vigueur (PUT /weights), puis metis round ask {found['campaign_id']}.",
            )
        if found["state"] == "computed":
            tables.print_figures(console, found)
            served = found["result"]["figures"]["needs_served"]
            if not yes and not _confirm(f"Proposer {counted(served, 'mission')} ? Associations et bénévoles en seront informés."):
                console.print("Rien n'est envoyé.")
                return FAILED
        released = await session.post(f"/rounds/{found['id']}/release", {"note": note} if note else {}, key=str(uuid4()))
        told = released["released"]
        console.print(
            f"[green]✓[/] {counted(told['missions'], 'mission proposée')}, {counted(told['left_out'], 'laissée')} de côté."
        )
        if told["left_out"]:
            tables.print_left_out(console, await session.everything(f"/rounds/{found['id']}/proposals"))
        return 0

    return _run(login, act)


def _confirm(question: str) -> bool:
    """Yes only when it is said; Enter alone is no."""
    answer: str = typer.prompt(f"{question} [o/N]", default="", show_default=False)
    return answer.strip().lower() in {"o", "oui", "y", "yes"}


def replay_round(login: Login, name: str, *, keep: Path | None, as_json: bool) -> int:
    async def act(session: Session) -> int:
        from cli.rounds.replay import replay

        found = await _find(session, name)
        if not found["proposals_digest"]:
            raise CliError(f"Ce tour est {tables.STATES[found['state']]} : il n'y a rien à recalculer.", cure="metis round watch")
        inputs = (await session.request("GET", f"/rounds/{found['id']}/inputs")).content
        if keep is not None:
            await asyncio.to_thread(keep.write_bytes, inputs)
        replayed = replay(found, inputs)
        if as_json:
            typer.echo(json.dumps(replayed.as_json(), ensure_ascii=False))
        else:
            tables.print_replay(console, found, replayed)
        return 0 if replayed.is_same else FAILED

    try:
        return _run(login, act)
    except ApiError as error:
        if error.status == 403:
            raise CliError(
                "Les données d'un tour sont montrées à la ville et à l'auditeur seulement.", cure="Prenez leur client."
            ) from error
        raise
