"""`metis close` as an officer meets it, against the real service on a real database; only the gateway's sign-in is played."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from cli.main import app
from kernel.auth import Role
from kernel.clock import utc_now
from kernel.database import Database
from tests.builders.credits import Scene
from tests.support.clients import SIGNER, make_caller
from tests.support.servers import serve_app

LATER = date(2199, 12, 31)


class SignIn:
    """The gateway as far as a client needs it: a token for whoever asks, and the service behind."""

    def __init__(self, service: FastAPI, territory: str) -> None:
        self.service = service
        self.territory = territory
        self.role = Role.OFFICER

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/oauth/token":
            await self.service(scope, receive, send)
            return
        token = SIGNER.sign(make_caller(self.territory, self.role), now=utc_now(), lifetime=timedelta(hours=1))
        body = json.dumps({"access_token": token, "expires_in": 3600}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


class Office:
    """An officer's desk: the command, and the town's campaign behind it."""

    def __init__(self, scene: Scene, gateway: SignIn, url: str, ref: str) -> None:
        self.scene = scene
        self.gateway = gateway
        self.url = url
        self.ref = ref

    async def close(self, *options: str, says: str = "", campaign: str | None = None) -> Any:
        """`says`: what the officer types, one letter a question."""
        arguments = ["close", campaign or self.ref, *options, "--url", self.url]
        arguments += ["--client-id", f"{self.scene.territory}.agent", "--client-secret", "s"]
        answers = "".join(f"{letter}\n" for letter in says)
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, arguments, input=answers))


@pytest.fixture
async def office(
    make_app: Callable[..., FastAPI], make_database: Callable[..., Database], territory: str
) -> AsyncIterator[Office]:
    """600 granted: 120 served, 90 held by a mission that runs, 390 unspent."""
    scene = await Scene(make_database("credits"), territory).start(ends_on=LATER)
    association, contributor = await scene.fund(credit=600, promise=900)
    served = await scene.agree(association, contributor, 150)
    await scene.handle(scene.validated(served, 120))
    await scene.handle(scene.agreed(association, contributor, 90).model_copy(update={"ends_on": LATER}))
    (row,) = await scene.fetch("SELECT ref FROM campaign")
    gateway = SignIn(make_app("credits"), territory)
    async with serve_app(gateway) as port:
        yield Office(scene, gateway, f"http://127.0.0.1:{port}", row["ref"])


async def state_of(office: Office) -> list[str]:
    rows = await office.scene.fetch("SELECT step FROM closing_step WHERE state = 'done' ORDER BY number")
    return [row["step"] for row in rows]


class TestClose:
    async def test_dry_run_shows_everything_and_writes_nothing(self, office: Office) -> None:
        result = await office.close("--dry-run")
        assert result.exit_code == 0, result.output
        for said in (
            "6 h 30 de crédit",
            "retour à l'enveloppe",
            "Les Petits Ateliers",
            "à accepter",
            "gardée",
            "rien n'est écrit",
        ):
            assert said in result.output, said
        assert await office.scene.fetch("SELECT FROM closing") == []

    async def test_yes_goes_to_the_signature_and_keeps_the_report(self, office: Office, tmp_path: Path) -> None:
        result = await office.close("--yes", "--reason", "Décision du conseil", "--out", str(tmp_path / "bilan"))
        assert result.exit_code == 0, result.output
        assert await state_of(office) == ["check", "notices", "expire", "release", "freeze", "sign"]
        assert {file.suffix for file in (tmp_path / "bilan").iterdir()} == {".json", ".csv", ".pdf"}
        (report,) = (tmp_path / "bilan").glob("*.json")
        kept = json.loads(report.read_text())
        assert kept["content"]["campaign"]["closure_reason"] == "Décision du conseil"
        assert kept["signed_by"] is not None

    async def test_asks_before_what_cannot_be_undone_and_goes_on_where_it_stopped(self, office: Office) -> None:
        # Begin, accept the early end, accept the missing notice, and no to the rest.
        stopped = await office.close(says="ooon")
        assert stopped.exit_code == 1
        assert "irréversible" in stopped.output
        assert f"metis close {office.ref}" in stopped.output
        assert await state_of(office) == ["check", "notices"]
        # The campaign closes; the signature is left for later.
        stopped = await office.close(says="on")
        assert (stopped.exit_code, await state_of(office)) == (1, ["check", "notices", "expire", "release", "freeze"])
        signed = await office.close(says="o")
        assert (signed.exit_code, (await state_of(office))[-1]) == (0, "sign")

    async def test_an_interruption_leaves_what_is_done(self, office: Office) -> None:
        interrupted = await office.close(says="o")  # the input ends at the next question
        assert interrupted.exit_code == 1
        assert "Ce qui est fait est gardé" in interrupted.output
        assert await state_of(office) == []
        assert (await office.close("--yes")).exit_code == 0

    async def test_called_again_it_offers_an_addendum(self, office: Office) -> None:
        assert (await office.close("--yes")).exit_code == 0
        again = await office.close()
        assert (again.exit_code, "le rapport est signé" in again.output) == (0, True)
        (held,) = await office.scene.fetch("SELECT * FROM hold WHERE state = 'held'")
        agreed = office.scene.agreed(held["association_id"], held["contributor_id"], 90, mission_id=held["mission_id"])
        await office.scene.handle(office.scene.validated(agreed, 60))
        added = await office.close(says="oo")
        assert added.exit_code == 0, added.output
        assert "l'additif 1 est signé" in added.output

    async def test_what_blocks_is_not_accepted(self, office: Office) -> None:
        (held,) = await office.scene.fetch("SELECT * FROM hold WHERE state = 'held'")
        agreed = office.scene.agreed(held["association_id"], held["contributor_id"], 90, mission_id=held["mission_id"])
        event = office.scene.validated(agreed, 90)
        envelope = {
            "specversion": "1.0", "id": str(held["mission_id"]), "source": "/metis/matching", "type": event.event_type,
            "time": utc_now().isoformat(), "subject": "x", "territory": office.scene.territory,
            "data": event.model_dump(mode="json"),
        }  # fmt: skip
        await office.scene.fetch(
            "INSERT INTO dead_letter (event_id, type, subject, territory, body, attempts, reason, stack)"
            " VALUES ($1, $2, 'x', $3, $4, 1, 'because', '')",
            held["mission_id"], event.event_type, office.scene.territory, json.dumps(envelope).encode(),
        )  # fmt: skip
        result = await office.close("--yes")
        assert (result.exit_code, await state_of(office)) == (1, [])
        assert "deadletters" in " ".join(result.output.replace("│", " ").split())


class TestRefusals:
    async def test_an_unknown_campaign_is_named(self, office: Office) -> None:
        result = await office.close("--dry-run", campaign="nulle")
        assert result.exit_code == 1

    async def test_without_credentials_says_which_to_give(self) -> None:
        result = CliRunner().invoke(app, ["close", "x", "--url", "http://127.0.0.1:1"], env={"METIS_CLIENT_ID": ""})
        assert result.exit_code == 1

    async def test_who_may_not_close_is_told_so(self, office: Office) -> None:
        office.gateway.role = Role.AUDITOR
        assert (await office.close("--dry-run")).exit_code == 0
        result = await office.close("--yes")
        assert (result.exit_code, await office.scene.fetch("SELECT FROM closing")) == (1, [])
