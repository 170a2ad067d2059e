"""`metis grants` and `metis approvals` as officers meet them, on the real service; only the gateway's sign-in is played."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from cli.api import ApiError
from cli.console import CliError
from cli.http import Response
from cli.main import app
from cli.officer.adjustments import Adjustment, read_adjustments
from cli.officer.refusals import WORDS, in_french
from kernel.auth import Role
from kernel.clock import utc_now
from kernel.database import Database
from kernel.ids import new_id
from services.credits.domain import errors
from services.credits.domain.campaigns import ExpiryRule, Safeguards
from services.credits.domain.grants import PanelSeat
from services.credits.domain.ledger import AccountKind
from services.credits.use_cases.campaigns import admit_association
from tests.builders.credits import Scene
from tests.support.clients import SIGNER, make_caller
from tests.support.servers import serve_app

END = date(2199, 12, 31)
PROPOSAL = {
    "lines": [
        {"association_id": "a1", "association_name": "Lire Ensemble"},
        {"association_id": "a2", "association_name": "Les Échecs"},
        {"association_id": "a3", "association_name": "Chorale"},
        {"association_id": "a4", "association_name": "Chorale"},
    ]
}


class TestReadAdjustments:
    def test_reads_as_an_officer_writes(self) -> None:
        texts = ["lire ensemble = 14 h 30 : public prioritaire : les jeunes", "a2=0: dissoute", "LES ECHECS =2,5:x"]
        assert read_adjustments(texts[:2], PROPOSAL) == {
            "a1": Adjustment(870, "public prioritaire : les jeunes"),
            "a2": Adjustment(0, "dissoute"),
        }
        assert read_adjustments(texts[2:], PROPOSAL) == {"a2": Adjustment(150, "x")}

    @pytest.mark.parametrize(
        "texts",
        [["Lire Ensemble"], ["Lire Ensemble = 14 h 30"], ["Lire Ensemble = beaucoup : oui"], ["Inconnue = 2 : oui"],
         ["Chorale = 2 : laquelle"], ["a1 = 2 : une", "Lire Ensemble = 3 : deux"]],
    )  # fmt: skip
    def test_says_what_it_cannot_read_and_how_to_write_it(self, texts: list[str]) -> None:
        with pytest.raises(CliError) as refused:
            read_adjustments(texts, PROPOSAL)
        assert refused.value.cure


class TestInFrench:
    def test_knows_only_codes_that_the_platform_has(self) -> None:
        known = {one.code for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.MetisError)}
        assert WORDS.keys() <= known

    def test_keeps_what_the_platform_said(self) -> None:
        problem = {"type": "https://x/daily-limit", "status": 409, "detail": "3 h are left", "errors": []}
        with pytest.raises(CliError, match="plafond du jour") as refused, in_french():
            raise ApiError(Response(409, {}, json.dumps(problem).encode()), doing="POST /x")
        assert refused.value.detail == "3 h are left"


class SignIn:
    """The gateway as far as a client needs it: a token for the officer whom the client names, and the service behind."""

    def __init__(self, service: FastAPI, territory: str) -> None:
        self.service = service
        self.territory = territory
        self.member_id: UUID | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/oauth/token":
            await self.service(scope, receive, send)
            return
        caller = make_caller(self.territory, Role.OFFICER, member_id=self.member_id)
        token = SIGNER.sign(caller, now=utc_now(), lifetime=timedelta(hours=1))
        body = json.dumps({"access_token": token, "expires_in": 3600}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


class Desk:
    """Two officers' desk: the commands, and the town's campaign behind them."""

    def __init__(self, scene: Scene, gateway: SignIn, url: str, ref: str) -> None:
        self.scene = scene
        self.gateway = gateway
        self.url = url
        self.ref = ref
        self.first, self.second = new_id(), new_id()

    async def run(self, *arguments: str, by: UUID | None = None, says: str = "", fails: bool = False) -> str:
        """What the command printed, in one line. `says`: what the officer types."""
        self.gateway.member_id = by or self.first
        access = ["--url", self.url, "--client-id", f"{self.scene.territory}.agent", "--client-secret", "s"]
        call = lambda: CliRunner().invoke(app, [*arguments, *access], input=f"{says}\n")  # noqa: E731
        result = await asyncio.to_thread(call)
        assert result.exit_code == int(fails), result.output
        return " ".join(result.output.split())

    async def propose(self) -> str:
        """The id of the computation, as the next command needs it."""
        found = re.search(r"--proposal ([0-9a-f-]{36})", await self.run("grants", "propose", self.ref))
        assert found is not None
        return found.group(1)

    async def pool(self) -> int:
        return await self.scene.balance(AccountKind.POOL)


@pytest.fixture
async def desk(make_app: Callable[..., FastAPI], make_database: Callable[..., Database], territory: str) -> AsyncIterator[Desk]:
    """A pool of 10 h for an association that is due 5 h; more than 6 h needs a second person."""
    scene = await Scene(make_database("credits"), territory).start(ends_on=END, safeguards=Safeguards(360, None))
    await scene.pledge(600)
    association = await scene.record_actor(name="Lire Ensemble")
    async with scene.work() as work:
        await admit_association(work, scene.campaign_id, PanelSeat(association, 30_000, 0))
    (row,) = await scene.fetch("SELECT ref FROM campaign")
    gateway = SignIn(make_app("credits"), territory)
    async with serve_app(gateway) as port:
        yield Desk(scene, gateway, f"http://127.0.0.1:{port}", row["ref"])


class TestGrants:
    async def test_from_the_computation_to_the_publication(self, desk: Desk, tmp_path: Path) -> None:
        assert "Aucune dotation" in await desk.run("grants", "show", desk.ref)
        proposal = await desk.propose()
        assert "÷ 60,00 € × 60" in await desk.run("grants", "show", desk.ref, "--proposal", proposal)
        sign = ("grants", "sign", desk.ref, "--proposal", proposal, "--adjust", "lire ensemble = 4 h 30 : déjà aidée")
        refused = await desk.run(*sign, says="", fails=True)
        assert "4 h 30" in refused and "déjà aidée" in refused and "31/12/2199" in refused and "Rien n'est signé" in refused
        assert await desk.pool() == 600
        signed = await desk.run(*sign, "--expires-on", "30/06/2199", says="o")
        assert "✓ Accordé : 4 h 30" in signed and f"metis grants publish {desk.ref} --proposal {proposal}" in signed
        assert await desk.pool() == 330
        shown = await desk.run("grants", "show", desk.ref)
        assert "30/06/2199" in shown and "déjà aidée" in shown and "pas encore publiées" in shown
        published = await desk.run("grants", "publish", desk.ref, "--contact", "vie associative", "--to", str(tmp_path), "--yes")
        assert "Publication n° 1" in published
        assert sorted(file.suffix for file in tmp_path.iterdir()) == [".csv", ".pdf"]
        shown = await desk.run("grants", "show", desk.ref)
        assert "Publications" in shown and "pas encore publiées" not in shown

    async def test_refusals_are_sentences_with_a_cure(self, desk: Desk) -> None:
        proposal = await desk.propose()
        sign = ("grants", "sign", desk.ref, "--proposal", proposal, "--yes")
        assert "dernier jour ne convient pas" in await desk.run(*sign, "--expires-on", "2200-01-01", fails=True)
        assert "ce n'est pas une date" in await desk.run(*sign, "--expires-on", "demain", fails=True)
        assert "rien à publier" in await desk.run("grants", "publish", desk.ref, "--yes", fails=True)
        assert "Aucune campagne" in await desk.run("grants", "propose", "hiver", fails=True)
        await desk.run(*sign)
        assert "déjà signées" in await desk.run(*sign, fails=True)
        await desk.run("grants", "publish", desk.ref, "--yes")
        assert "déjà la même chose" in await desk.run("grants", "publish", desk.ref, "--yes", fails=True)


class TestApprovals:
    async def ask(self, desk: Desk) -> str:
        """Ten hours, which takes two."""
        sign = ("grants", "sign", desk.ref, "--proposal", await desk.propose(), "--expires-on", "30/06/2199", "--yes")
        said = await desk.run(*sign, "--adjust", "Lire Ensemble = 10 : toute l'enveloppe", "--reason", "Urgence")
        found = re.search(r"metis approvals approve ([0-9a-f-]{36})", said)
        assert found is not None
        assert "rien n'est encore accordé" in said
        return found.group(1)

    async def test_another_person_approves_what_they_are_shown(self, desk: Desk) -> None:
        assert "Rien n'attend" in await desk.run("approvals", "list")
        request = await self.ask(desk)
        listed = await desk.run("approvals", "list", "--campaign", desk.ref)
        assert request in listed and "dotations" in listed and "10 h" in listed and "Urgence" in listed
        approve = ("approvals", "approve", request, "--reason", "Vu en commission")
        assert "proposée vous-même" in await desk.run(*approve, "--yes", fails=True)
        shown = await desk.run(*approve, by=desk.second, says="n", fails=True)
        assert "toute l'enveloppe" in shown and "30/06/2199" in shown and "Rien n'est décidé" in shown
        assert await desk.pool() == 600
        done = await desk.run(*approve, by=desk.second, says="oui")
        assert f"metis grants publish {desk.ref} --proposal" in done
        assert await desk.pool() == 0
        assert "n'attend plus : approuvée" in await desk.run(*approve, by=desk.second, fails=True)
        assert "approuvée" in await desk.run("approvals", "list", "--all")

    async def test_another_person_refuses(self, desk: Desk) -> None:
        request = await self.ask(desk)
        said = await desk.run("approvals", "refuse", request, "--reason", "À revoir", "--yes", by=desk.second)
        assert "Refusée" in said
        assert await desk.pool() == 600
        assert "Rien n'attend" in await desk.run("approvals", "list")


class TestCarryIn:
    async def start(self, desk: Desk, *, above: int | None) -> tuple[str, str]:
        """A campaign that closed with 10 h to carry over, and the open one after it; their refs."""
        refs = []
        for number, safeguards in enumerate((Safeguards(None, None), Safeguards(above, None))):
            await desk.scene.start(ends_on=END, expiry=ExpiryRule.CARRY_OVER, safeguards=safeguards)
            [row] = await desk.scene.fetch("SELECT ref FROM campaign WHERE id = $1", desk.scene.campaign_id)
            refs.append(row["ref"])
            if number == 0:
                await desk.scene.fund(credit=600)
                await desk.scene.close()
        return refs[0], refs[1]

    async def test_what_comes_is_shown_before_and_comes_once(self, desk: Desk) -> None:
        earlier, later = await self.start(desk, above=None)
        carry = ("grants", "carry-in", later, "--from", earlier)
        shown = await desk.run(*carry, says="n", fails=True)
        assert "Total : 10 h" in shown and "31/12/2199" in shown and "Rien n'est reporté" in shown
        assert await desk.scene.balance(AccountKind.CARRIED) == 0
        assert "✓ Reporté : 10 h" in await desk.run(*carry, "--expires-on", "30/06/2199", says="o")
        [lot] = await desk.scene.fetch("SELECT minutes, campaign_id FROM lot WHERE carried_from IS NOT NULL")
        assert (lot["minutes"], lot["campaign_id"]) == (600, desk.scene.campaign_id)
        assert "n'a plus rien à reporter" in await desk.run(*carry, fails=True)

    async def test_above_the_threshold_another_person_approves_what_they_are_shown(self, desk: Desk) -> None:
        earlier, later = await self.start(desk, above=360)
        said = await desk.run("grants", "carry-in", later, "--from", earlier, "--yes")
        found = re.search(r"metis approvals approve ([0-9a-f-]{36})", said)
        assert found is not None
        assert await desk.scene.fetch("SELECT FROM lot WHERE carried_from IS NOT NULL") == []
        approve = ("approvals", "approve", found.group(1), "--reason", "Vu en commission", "--yes")
        done = await desk.run(*approve, by=desk.second)
        assert "Total : 10 h" in done and "Approuvée, et faite : report de crédit" in done

    async def test_says_what_it_cannot_do(self, desk: Desk) -> None:
        earlier, later = await self.start(desk, above=None)
        assert "rien à reporter" in await desk.run("grants", "carry-in", earlier, "--from", later, fails=True)
        assert "Aucune campagne" in await desk.run("grants", "carry-in", later, "--from", "hiver", fails=True)
        assert "sur elle-même" in await desk.run("grants", "carry-in", earlier, "--from", earlier, "--yes", fails=True)
