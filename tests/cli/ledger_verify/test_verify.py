"""`metis ledger verify` on a file: whatever is done to it is named, and the process shares nothing with the services."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.ledger_verify.command import follow_chain, main, verify
from cli.ledger_verify.findings import Finding, Report
from cli.ledger_verify.head import Head
from cli.main import app
from kernel.database import Database
from tests.builders.bundles import export_bundle
from tests.builders.credits import Scene
from tests.builders.seals import make_sealer, play_everything

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def bundle(make_database: Callable[..., Database], territory: str, tmp_path: Path) -> Path:
    database = make_database("credits")
    scene = await Scene(database, territory).start()
    await play_everything(scene)
    await make_sealer(block_rows=16).seal(database, territory)
    await scene.pledge(60)
    return await export_bundle(database, territory, tmp_path / "bundle.ndjson")


class Forgery:
    """A copy of the bundle to do things to."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self.lines = bundle.read_bytes().splitlines()

    def find(self, start: str) -> int:
        return next(number for number, line in enumerate(self.lines) if line.startswith(start.encode()))

    def first(self) -> Finding:
        path = self._bundle.with_name("forged.ndjson")
        path.write_bytes(b"".join(line + b"\n" for line in self.lines))
        found = verify(path).first
        assert found is not None
        return found

    def rows_of(self, block: int) -> tuple[int, int]:
        """The lines of a block's rows, and its first sequence."""
        number = next(
            at
            for at, line in enumerate(self.lines)
            if line.startswith(b'{"block"') and json.loads(line)["block"]["number"] == block
        )
        return number + 1, json.loads(self.lines[number])["block"]["first_sequence"]


def follow_here_alone(path: Path, head: Head | None, language: str, quiet: bool) -> Report:
    """In any other process it is killed."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return follow_chain(path, head, language, quiet)


@pytest.fixture
def forgery(bundle: Path) -> Forgery:
    return Forgery(bundle)


class TestVerify:
    def test_an_honest_bundle(self, bundle: Path) -> None:
        report = verify(bundle)
        assert report.ok and report.blocks > 2 and report.transfers > 10 and report.unsealed > 0

    def test_says_the_same_of_a_large_one_that_two_processes_check(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        forged = Forgery(bundle)
        number = forged.find('["transfer"')
        forged.lines[number] = forged.lines[number].replace(b'"minutes":', b'"minutes":1', 1)
        other = bundle.with_name("other.ndjson")
        other.write_bytes(b"".join(line + b"\n" for line in forged.lines))
        alone = [verify(path) for path in (bundle, other)]
        monkeypatch.setattr("cli.ledger_verify.command._LARGE_BYTES", 0)
        assert [verify(path) for path in (bundle, other)] == alone
        assert (alone[0].ok, alone[1].ok) == (True, False)

    def test_goes_on_alone_where_the_other_process_is_ended(self, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        alone = verify(bundle)
        monkeypatch.setattr("cli.ledger_verify.command._LARGE_BYTES", 0)
        monkeypatch.setattr("cli.ledger_verify.command.follow_chain", follow_here_alone)
        assert verify(bundle) == alone

    def test_names_every_altered_column_of_every_row(self, bundle: Path, subtests: pytest.Subtests) -> None:
        lines = bundle.read_bytes().splitlines()
        for number, line in enumerate(lines):
            if not line.startswith(b"["):
                continue
            if line.startswith(b'["account"'):  # the current rows begin; theirs is another test
                break
            table, columns = json.loads(line)
            for column in columns:
                with subtests.test(table=table, column=column):
                    forged = Forgery(bundle)
                    other = columns | {column: _other(columns[column])}
                    forged.lines[number] = json.dumps([table, other], ensure_ascii=False, separators=(",", ":")).encode()
                    if number > forged.find('{"unsealed"'):
                        continue  # not sealed yet: nothing vouches for it but the books
                    first = forged.first()
                    assert (first.kind, first.table, first.columns) == ("altered", table, (column,))

    def test_names_a_removed_row(self, forgery: Forgery) -> None:
        start, sequence = forgery.rows_of(2)
        table, columns = json.loads(forgery.lines.pop(start + 3))
        first = forgery.first()
        assert (first.kind, first.table, first.sequence) == ("missing", table, sequence + 3)
        assert str(columns.get("id", columns.get("proposal_id"))) in str(first.key)

    def test_names_an_added_row(self, forgery: Forgery) -> None:
        start, _ = forgery.rows_of(2)
        forgery.lines.insert(start + 2, b'["refusal",{"id":"0193","territory":"92071","xact":1}]')
        assert (forgery.first().kind, forgery.first().key) == ("added", "0193")

    def test_names_a_repeated_row(self, forgery: Forgery) -> None:
        start, _ = forgery.rows_of(2)
        forgery.lines.insert(start + 2, forgery.lines[start])
        assert forgery.first().kind == "added"

    def test_names_swapped_rows(self, forgery: Forgery) -> None:
        start, sequence = forgery.rows_of(2)
        lines = forgery.lines
        lines[start + 1], lines[start + 4] = lines[start + 4], lines[start + 1]
        first = forgery.first()
        assert (first.kind, first.sequence) == ("reordered", sequence + 1)

    def test_names_a_row_in_another_block(self, forgery: Forgery) -> None:
        start, sequence = forgery.rows_of(1)
        moved = forgery.lines.pop(start + 2)
        later, _ = forgery.rows_of(2)
        forgery.lines.insert(later, moved)
        first = forgery.first()
        assert (first.kind, first.sequence) in {("altered", sequence + 2), ("missing", sequence + 2)}

    def test_names_a_removed_block(self, forgery: Forgery) -> None:
        start, _ = forgery.rows_of(2)
        after, _ = forgery.rows_of(3)
        del forgery.lines[start - 1 : after - 1]
        assert (forgery.first().kind, forgery.first().block) == ("block-missing", 2)

    def test_names_every_altered_member_of_a_block(self, bundle: Path, subtests: pytest.Subtests) -> None:
        at = Forgery(bundle).rows_of(2)[0] - 1
        for name, value in json.loads(Forgery(bundle).lines[at])["block"].items():
            if name == "key_id":  # for people; the key itself is checked
                continue
            with subtests.test(member=name):
                forged = Forgery(bundle)
                block = json.loads(forged.lines[at])["block"]
                block[name] = _other(value)
                forged.lines[at] = json.dumps({"block": block}).encode()
                first = forged.first()
                assert first.block == 2 and first.kind in {"block-altered", "block-forged", "block-missing"}
                assert name in first.columns or name == "number"

    def test_names_current_rows_that_do_not_follow(self, bundle: Path, subtests: pytest.Subtests) -> None:
        state = Forgery(bundle).find('{"state"')
        for number, line in enumerate(Forgery(bundle).lines[state + 1 : -1], start=state + 1):
            table, columns = json.loads(line)
            for column in columns.keys() - {"territory"}:
                with subtests.test(table=table, column=column):
                    forged = Forgery(bundle)
                    forged.lines[number] = json.dumps([table, columns | {column: _other(columns[column])}]).encode()
                    assert forged.first().table == table

    def test_an_unfinished_export_is_not_verified(self, forgery: Forgery) -> None:
        del forgery.lines[-3:]
        assert "truncated" in {finding.kind for finding in _all(forgery)}


def _all(forgery: Forgery) -> list[Finding]:
    forgery.first()
    return verify(forgery._bundle.with_name("forged.ndjson")).findings


def _other(value: object) -> object:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1_000_000
    if isinstance(value, list):
        return ["transfer:nothing", *value[1:]]
    if isinstance(value, dict):
        return {**value, "x": 1}
    if value is None:
        return "00" * 32
    text = str(value)
    return ("1" if text[:1] == "0" else "0") + text[1:]


class TestCommand:
    def test_exit_codes_and_languages(self, bundle: Path, forgery: Forgery) -> None:
        run = CliRunner().invoke
        good = run(app, ["ledger", "verify", str(bundle)])
        assert good.exit_code == 0 and "Rien n'a été modifié" in good.output and "--head" in good.output
        start, sequence = forgery.rows_of(2)
        del forgery.lines[start]
        forgery.first()
        bad = run(app, ["ledger", "verify", str(bundle.with_name("forged.ndjson")), "--lang", "en"])
        assert bad.exit_code == 1 and "Missing row" in bad.output and f"sequence {sequence}" in bad.output
        assert run(app, ["ledger", "verify", str(bundle.with_name("nothing"))]).exit_code == 2

    def test_json(self, bundle: Path) -> None:
        result = CliRunner().invoke(app, ["ledger", "verify", str(bundle), "--json"])
        facts = json.loads(result.output)
        assert facts["ok"] and facts["first"] is None and len(facts["head_hash"]) == 64

    def test_heads_in_every_form(self, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        head = verify(bundle).head_hash
        answer, mail = tmp_path / "head.json", tmp_path / "mail.txt"
        answer.write_text(json.dumps({"number": 3, "hash": head}))
        mail.write_text(f"Bonjour,\n\nTête : {head}\nClé : 12ab\n")
        for given in (head, head.upper(), str(answer), str(mail)):
            assert main([str(bundle), "--head", given]) == 0
        answer.write_text(json.dumps({"number": 99, "hash": "0" * 64}))
        assert main([str(bundle), "--head", str(answer), "--lang", "fr"]) == 1
        assert "coupée" in capsys.readouterr().out
        assert main([str(bundle), "--head", "nonsense"]) == 2

    def test_imports_nothing_of_the_services(self, bundle: Path) -> None:
        program = (
            "import sys; from cli.ledger_verify.command import main; code = main(sys.argv[1:]);"
            "print(sorted({name.partition('.')[0] for name in sys.modules} & {'kernel', 'services', 'gateway', 'sqlalchemy', 'asyncpg',"
            " 'pydantic', 'orjson', 'typer', 'rich', 'fastapi'})); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", program, str(bundle)], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stdout + done.stderr
