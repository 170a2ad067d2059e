"""The state directory: secrets made once and for their owner alone, one runner at a time."""

import stat
from dataclasses import asdict
from pathlib import Path

import pytest

from cli.console import CliError
from cli.state import State


class TestSecrets:
    def test_are_made_once_and_for_the_owner_alone(self, tmp_path: Path) -> None:
        state = State(tmp_path / "s")
        first = state.secrets()
        assert state.secrets() == first
        assert stat.S_IMODE((state.path / "secrets.json").stat().st_mode) == 0o600

    def test_a_new_version_adds_what_it_needs(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        kept = asdict(state.secrets())
        del kept["seal_private_key"]
        state.write("secrets.json", kept)
        added = state.secrets()
        assert asdict(added) | kept == asdict(added) and state.secrets() == added

    def test_differ_between_instances(self, tmp_path: Path) -> None:
        assert State(tmp_path / "a").secrets().instance_admin_secret != State(tmp_path / "b").secrets().instance_admin_secret

    def test_a_damaged_file_is_named_with_the_cure(self, tmp_path: Path) -> None:
        (tmp_path / "secrets.json").write_text("{")
        with pytest.raises(CliError, match="secrets") as refusal:
            State(tmp_path).secrets()
        assert refusal.value.cure


class TestLocked:
    def test_a_second_runner_is_told_who_runs(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        with state.locked(), pytest.raises(CliError, match="tourne déjà") as refusal, State(tmp_path).locked():
            pass
        assert "--state" in refusal.value.cure
        with State(tmp_path).locked():
            pass


class TestGatewayUrl:
    def test_is_the_running_one_or_the_usual_one(self, tmp_path: Path) -> None:
        state = State(tmp_path)
        assert state.gateway_url() == "http://127.0.0.1:8100"
        state.write("running.json", {"ports": {"gateway": 4242}})
        assert state.gateway_url() == "http://127.0.0.1:4242"
