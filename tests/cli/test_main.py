"""The command line as a person meets it."""

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from cli.doctor import FAULT, examine
from cli.main import app
from cli.state import State

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def every_command(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, Any]]:
    if hasattr(command, "commands"):
        return [found for name, sub in command.commands.items() for found in every_command(sub, (*path, name))]
    return [(" ".join(path), command)]


class TestHelp:
    def test_every_command_says_what_it_does_and_shows_an_example(self) -> None:
        commands = every_command(get_command(app))
        assert len(commands) >= 14
        for name, command in commands:
            assert command.help, name
            assert f"metis {name}" in command.help, name

    def test_every_option_is_explained(self) -> None:
        for name, command in every_command(get_command(app)):
            for parameter in command.params:
                if isinstance(parameter, typer.core.TyperOption):
                    assert parameter.help, (name, parameter.name)


class TestImport:
    def test_dry_run_names_every_fault_and_fails(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["import", str(EXAMPLES / "broken"), "--dry-run", "--state", str(tmp_path)])
        assert result.exit_code == 1
        for said in ("annee_creation", "mot inconnu", "pas un code INSEE", "déjà présent à la ligne 2", "cellule vide"):
            assert said in " ".join(result.output.replace("│", " ").split()), said
        assert not list((EXAMPLES / "broken").glob("*.rejects.csv"))

    def test_dry_run_accepts_the_examples(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(app, ["import", str(EXAMPLES / "sceaux"), "--dry-run", "--state", str(tmp_path)])
        assert result.exit_code == 0, result.output

    def test_without_credentials_says_which_to_give(self, tmp_path: Path) -> None:
        result = CliRunner().invoke(
            app, ["import", str(EXAMPLES / "sceaux"), "--state", str(tmp_path)], env={"METIS_CLIENT_ID": ""}
        )
        assert result.exit_code == 1


class TestFailures:
    @pytest.mark.parametrize(
        "arguments",
        [["import", "nowhere"], ["migrate"], ["deadletters", "list"], ["trace"], ["territory", "create", "9207", "--name", "X"]],
    )
    def test_exit_with_1_and_no_traceback(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
        for name in ("METIS_DATABASE_URL", "METIS_ADMIN_CLIENT_SECRET"):
            monkeypatch.delenv(name, raising=False)
        state = [] if arguments == ["migrate"] else ["--state", str(tmp_path / "none")]
        result = CliRunner().invoke(app, [*arguments, *state])
        assert result.exit_code == 1
        assert result.exception is None or isinstance(result.exception, SystemExit)


class TestKeys:
    def test_prints_an_environment_file(self) -> None:
        result = CliRunner().invoke(app, ["keys"])
        names = [line.partition("=")[0] for line in result.output.splitlines()]
        assert names == [
            "METIS_INTERNAL_PRIVATE_KEY", "METIS_INTERNAL_PUBLIC_KEYS", "METIS_ADMIN_CLIENT_SECRET", "METIS_SECRET",
            "METIS_SEAL_PRIVATE_KEY",
        ]  # fmt: skip


class TestDoctor:
    async def test_every_fault_comes_with_a_cure(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("METIS_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/x")
        monkeypatch.setenv("METIS_AMQP_URL", "amqp://guest@127.0.0.1:1/")
        findings = [finding async for finding in examine(State(tmp_path / "none"))]
        faults = {finding.subject for finding in findings if finding.level == FAULT}
        assert {"PostgreSQL", "Broker"} <= faults
        assert all(finding.cure for finding in findings if finding.level == FAULT)
