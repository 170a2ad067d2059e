"""The state directory `.metis/`: data, secrets made once, logs, spans; and the lock of the one who runs it."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cli.console import CliError


@dataclass(frozen=True)
class Secrets:
    """What only this machine knows. Generated once; whoever reads the file is the instance's master."""

    postgres_password: str  # of the embedded server's owner
    database_secret: str  # the runtime roles' passwords derive from it
    instance_admin_secret: str
    token_secret: str  # for whatever else the gateway must sign or encrypt
    internal_private_key: str  # JWK
    internal_public_keys: str  # JWKS
    seal_private_key: str  # JWK that signs the ledger's seals


class State:
    """Files below one directory, which is the whole memory of `metis up` and `metis demo`."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @property
    def exists(self) -> bool:
        return self.path.is_dir()

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def spans(self) -> Path:
        return self.path / "spans.jsonl"

    @property
    def older_spans(self) -> Path:
        """What was in `spans` until it grew too large."""
        return self.path / "spans.jsonl.1"

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    def gateway_url(self) -> str:
        """Where the gateway of this state listens, or would."""
        return f"http://127.0.0.1:{self.read('running.json').get('ports', {}).get('gateway', 8100)}"

    def prepare(self) -> None:
        for directory in (self.path, self.logs):
            directory.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the state, or an empty dict when it is not there yet."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise CliError(
                f"{self.path / name} n'est plus lisible : {error}",
                cure=f"Restaurez ce fichier, ou supprimez {self.path} pour repartir de zéro.",
            ) from error
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Replace a JSON file of the state at once and for its owner alone (mode 0600)."""
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)
        draft.replace(self.path / name)

    def secrets(self) -> Secrets:
        """The instance's secrets, made at the first call; one that a newer version needs is added."""
        kept = self.read("secrets.json")
        if missing := {name.name for name in fields(Secrets)} - kept.keys():
            made = asdict(make_secrets())
            kept |= {name: made[name] for name in missing}
            self.write("secrets.json", kept)
        return Secrets(**kept)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only one who runs this state. The lock leaves with the process, however that ends."""
        self.prepare()
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise CliError(
                    f"Métis tourne déjà avec {self.path} (processus {file.read().strip() or 'inconnu'}).",
                    cure="Arrêtez-le par Ctrl-C, ou choisissez un autre dossier avec --state.",
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def make_secrets() -> Secrets:
    from kernel.auth import make_key_pair

    private, public = make_key_pair()
    return Secrets(
        postgres_password=secrets.token_urlsafe(24),
        database_secret=secrets.token_urlsafe(32),
        instance_admin_secret=secrets.token_urlsafe(32),
        token_secret=secrets.token_urlsafe(32),
        internal_private_key=private,
        internal_public_keys=public,
        seal_private_key=make_key_pair()[0],
    )
