"""Rows to the platform: outcomes, refusals with their column, references, patience, and never more than eight at once."""

import time
from pathlib import Path
from typing import Any

import pytest

from cli.api import ApiError, Session
from cli.console import CliError
from cli.http import make_client
from cli.importer import sending
from cli.importer.checking import read_folder
from cli.importer.layouts import make_layouts
from cli.importer.sending import PARALLEL, FileResult, Importer
from tests.cli.conftest import Answer, Platform

ACTORS = "ref,type,nom,commune,siren\n"
MEMBERS = "ref,acteur,nom,courriel,roles\n"


async def send(platform: Platform, folder: Path, **files: str) -> list[FileResult]:
    for name, content in files.items():
        (folder / f"{name}.csv").write_text(content)
    async with make_client() as http:
        return await Importer(Session(http, platform.url, "92071", "92071.agent", "s")).send(read_folder(folder, make_layouts()))


def problem(status: int, code: str, *errors: dict[str, str], detail: str = "no") -> Answer:
    return status, {"type": f"https://metis.example/problems/{code}", "detail": detail, "errors": list(errors)}


class TestSend:
    async def test_counts_what_became_of_each_row(self, platform: Platform, tmp_path: Path) -> None:
        outcomes = {"a": "created", "b": "changed", "c": "unchanged"}
        platform.answer = lambda method, path, body: (200, {"id": path[-1], "outcome": outcomes[path[-1]]})
        (result,) = await send(platform, tmp_path, acteurs=ACTORS + "".join(f"{ref},association,N,92071,\n" for ref in outcomes))
        assert result.counts == {"created": 1, "changed": 1, "unchanged": 1}
        assert result.rejects == []

    async def test_rejects_a_refused_row_at_its_column_and_goes_on(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, path: str, body: Any) -> Answer:
            if path.endswith("/b"):
                return problem(422, "bad-input", {"pointer": "/siren", "detail": "it belongs to another"})
            return 200, {"id": "1", "outcome": "created"}

        platform.answer = answer
        rows = "a,association,A,92071,\nb,association,B,92071,552100554\nc,association,C,92071,\n"
        (result,) = await send(platform, tmp_path, acteurs=ACTORS + rows)
        assert result.counts == {"created": 2}
        (reject,) = result.rejects
        assert (reject.line, reject.column, reject.value, reject.cure) == (
            3,
            "siren",
            "552100554",
            "it belongs to another",
        )

    async def test_replaces_references_by_ids_of_this_import_or_of_the_platform(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, path: str, body: Any) -> Answer:
            if method == "GET":
                return 200, {"items": [{"ref": "ancienne", "id": "id-old"}], "next": None}
            return 200, {"id": "id-new", "outcome": "created"}

        platform.answer = answer
        members = "x,neuve,X,x@a.test,association\ny,ancienne,Y,y@a.test,benevole\nz,nulle,Z,z@a.test,benevole\nc,,C,c@a.test,benevole\n"
        results = await send(platform, tmp_path, acteurs=ACTORS + "neuve,association,N,92071,\n", membres=MEMBERS + members)
        sent = {path.rpartition("/")[2]: body.get("actor_id") for method, path, body in platform.seen if "/members/" in path}
        assert sent == {"x": "id-new", "y": "id-old", "c": None}
        (reject,) = results[1].rejects
        assert (reject.line, reject.column, reject.value) == (4, "acteur", "nulle")
        assert reject.problem == "référence inconnue, ni dans acteurs.csv (lignes acceptées) ni sur la plateforme"
        assert reject.cure == "corrigez la référence, ou ajoutez ou corrigez sa ligne dans acteurs.csv"

    async def test_replaces_each_of_several_references(self, platform: Platform, tmp_path: Path) -> None:
        ids = {"odile": "id-odile", "a": "id-a", "b": "id-b"}
        platform.answer = lambda method, path, body: (
            (200, {"items": [{"ref": ref, "id": id} for ref, id in ids.items()]})
            if method == "GET"
            else (200, {"id": "1", "outcome": "created"})
        )
        head = "ref,membre,titre,competences,heures,debut,fin,commune,cadre,associations_exclues\n"
        row = "{},odile,T,x,1,2026-01-01,2026-12-31,92071,personnel,{}\n"
        (result,) = await send(platform, tmp_path, offres=head + row.format("o", "a;b") + row.format("p", "a;z"))
        (sent,) = [body for method, _, body in platform.seen if method == "PUT"]
        assert sent["excluded_associations"] == ["id-a", "id-b"]
        assert [(reject.column, reject.value) for reject in result.rejects] == [("associations_exclues", "a;z")]

    async def test_waits_for_news_that_are_on_their_way(self, platform: Platform, tmp_path: Path) -> None:
        platform.answer = lambda *_: (
            problem(409, "not-known-yet") if len(platform.seen) < 3 else (200, {"id": "1", "outcome": "created"})
        )
        (result,) = await send(platform, tmp_path, acteurs=ACTORS + "a,association,A,92071,\n")
        assert result.counts == {"created": 1}

    async def test_gives_up_waiting_in_time(self, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sending, "LAG_SECONDS", 0.2)
        platform.answer = lambda *_: problem(409, "not-known-yet")
        (result,) = await send(platform, tmp_path, acteurs=ACTORS + "a,association,A,92071,\n")
        assert [reject.line for reject in result.rejects] == [2]

    async def test_stops_at_what_is_no_fault_of_a_row(self, platform: Platform, tmp_path: Path) -> None:
        platform.answer = lambda *_: problem(500, "internal")
        with pytest.raises(BaseExceptionGroup) as raised:
            await send(platform, tmp_path, acteurs=ACTORS + "a,association,A,92071,\n")
        assert raised.group_contains(ApiError)

    async def test_says_in_french_who_may_not_import_at_all(self, platform: Platform, tmp_path: Path) -> None:
        platform.answer = lambda *_: problem(403, "forbidden", detail="This is for officer, operator; you are volunteer.")
        with pytest.raises(BaseExceptionGroup) as raised:
            await send(platform, tmp_path, acteurs=ACTORS + "a,association,A,92071,\n")
        assert raised.group_contains(CliError, match="Votre identifiant n'a pas le droit d'importer acteurs.csv")

    async def test_goes_on_where_only_a_row_is_another_s_to_write(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, path: str, body: Any) -> Answer:
            if path.endswith("/a"):
                return problem(403, "forbidden", detail="Only an officer gives or takes the role officer.")
            return 200, {"id": "1", "outcome": "created"}

        platform.answer = answer
        (result,) = await send(platform, tmp_path, acteurs=ACTORS + "a,association,A,92071,\nb,association,B,92071,\n")
        assert result.counts == {"created": 1}
        assert [(reject.line, "seul un agent" in reject.problem) for reject in result.rejects] == [(2, True)]

    async def test_sends_at_most_eight_at_once(self, platform: Platform, tmp_path: Path) -> None:
        def answer(method: str, path: str, body: Any) -> Answer:
            time.sleep(0.02)
            return 200, {"id": "1", "outcome": "created"}

        platform.answer = answer
        await send(platform, tmp_path, acteurs=ACTORS + "".join(f"a{n},association,A,92071,\n" for n in range(60)))
        assert 1 < platform.most_at_once <= PARALLEL
