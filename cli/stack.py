"""The whole platform on one machine: PostgreSQL, four services and the gateway, each its own process."""

import asyncio
import fcntl
import importlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cli import embedded_postgres
from cli.console import CliError
from cli.migrate import BUS, SERVICES, derive_password, password_variable, runtime_urls
from cli.nursery import STOP_SECONDS
from cli.ports import LOOPBACK, find_free_port, is_free
from cli.processes import Child, Children
from cli.state import Secrets, State

HOST = LOOPBACK
PORTS = {"gateway": 8100, "registry": 8101, "matching": 8102, "credits": 8103, "notifications": 8104}
PORT_TRIES = 5
GATEWAY_FACTORY = "gateway.app:make_gateway"
ADMIN_CLIENT = "instance-admin"
# Enough for a town on one machine; the server takes 120 connections in all.
POOL_SIZE = "5"
LARGEST_SPANS_BYTES = 64 * 1024 * 1024

Say = Callable[[str], None]


@dataclass
class Stack:
    """What runs: where to reach it, and how to look into its databases."""

    state: State
    secrets: Secrets
    ports: dict[str, int]
    children: Children
    database_urls: dict[str, str] = field(default_factory=dict, repr=False)
    admin_url: str = field(default="", repr=False)
    server: embedded_postgres.Server | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The public door."""
        return self.address("gateway")

    def address(self, name: str) -> str:
        return f"http://{HOST}:{self.ports[name]}"


@asynccontextmanager
async def run_stack(
    state: State, *, environment: Mapping[str, str] | None = None, durable: bool = True, say: Say = lambda text: None
) -> AsyncIterator[Stack]:
    """Everything started and ready inside the block; everything stopped after it, in reverse, whatever happens.

    `environment` is given to all processes beside what they need. METIS_DATABASE_URL and METIS_AMQP_URL, when set,
    stand for a server and a broker of one's own.
    """
    with state.locked(), ExitStack() as held:
        _keep_last_logs(state)
        ports, remarks = choose_ports(PORTS, held=held)
        children = Children(environment=_base_environment() | dict(environment or {}), log=state.logs / "nursery.log")
        stack = Stack(state, state.secrets(), ports, children, remarks=remarks)
        try:
            await _start(stack, durable=durable, say=say)
            yield stack
        finally:
            # Shielded: a second Ctrl-C must not leave processes behind.
            await asyncio.shield(asyncio.ensure_future(_stop(stack, say=say)))


def _keep_last_logs(state: State) -> None:
    """One generation is kept: the log of the run that went wrong is usually the one before."""
    for log in state.logs.glob("*.log"):
        log.replace(log.with_suffix(".log.1"))
    if state.spans.exists() and state.spans.stat().st_size > LARGEST_SPANS_BYTES:
        state.spans.replace(state.older_spans)


async def _start(stack: Stack, *, durable: bool, say: Say) -> None:
    """The nursery imports while PostgreSQL starts; services import while the tables are made, and then serve."""
    await stack.children.open()
    say("PostgreSQL démarre")
    # It asks for health later; this process has nothing else to do meanwhile.
    importing = asyncio.create_task(asyncio.to_thread(importlib.import_module, "aiohttp"))
    stack.admin_url = await _find_or_start_postgres(stack, durable=durable)
    await importing
    say("Bases de données, services et passerelle")
    passwords = _passwords(stack)
    stack.database_urls = runtime_urls(stack.admin_url, passwords)
    for name in (*SERVICES, "gateway"):
        _spawn_service(stack, name)
    await _migrate(stack, passwords)
    stack.children.open_gate()
    await stack.children.wait_ready()
    stack.state.write("running.json", {"pid": os.getpid(), "ports": stack.ports})


async def _find_or_start_postgres(stack: Stack, *, durable: bool) -> str:
    """The server owner's URL."""
    if url := os.environ.get("METIS_DATABASE_URL"):
        return url
    log = stack.state.logs / "postgres.log"
    password = stack.secrets.postgres_password
    starting = asyncio.ensure_future(
        asyncio.to_thread(embedded_postgres.start, stack.state.postgres, password=password, log=log, durable=durable)
    )
    try:
        stack.server = await asyncio.shield(starting)
    except asyncio.CancelledError:
        stack.server = await starting  # a thread goes on: who left now would leave behind the server that it starts
        raise
    return stack.server.url


def _passwords(stack: Stack) -> dict[str, str]:
    wanted = SERVICES if _amqp_url() else (BUS, *SERVICES)
    return {service: derive_password(stack.secrets.database_secret, service) for service in wanted}


async def _migrate(stack: Stack, passwords: Mapping[str, str]) -> None:
    child = Child("migration", stack.state.logs / "migrate.log")
    environment = {password_variable(service): password for service, password in passwords.items()}
    await stack.children.run(child, "cli.migrate:run_as_task", environment={"METIS_DATABASE_URL": stack.admin_url} | environment)


def _spawn_service(stack: Stack, name: str) -> None:
    factory = GATEWAY_FACTORY if name == "gateway" else f"services.{name}.app:make_service"
    child = Child(name, stack.state.logs / f"{name}.log", stack.address(name))
    stack.children.spawn(child, factory, environment=settings_of(stack, name), waits=True)


def _base_environment() -> dict[str, str]:
    """Our own environment, without what names the whole server: a service gets its own role's URL."""
    return {name: value for name, value in os.environ.items() if name != "METIS_DATABASE_URL"}


def settings_of(stack: Stack, name: str) -> dict[str, str]:
    settings = {
        "METIS_HOST": HOST,
        "METIS_PORT": str(stack.ports[name]),
        "METIS_INTERNAL_PUBLIC_KEYS": stack.secrets.internal_public_keys,
    }
    if "METIS_OTLP_ENDPOINT" not in os.environ:
        settings["METIS_SPANS_FILE"] = str(stack.state.spans)
    if name == "gateway":
        settings |= {f"METIS_{service.upper()}_URL": stack.address(service) for service in SERVICES}
        settings["METIS_INTERNAL_PRIVATE_KEY"] = stack.secrets.internal_private_key
        settings["METIS_ADMIN_CLIENT_SECRET"] = stack.secrets.instance_admin_secret
        return settings
    if name == "credits":
        settings["METIS_SEAL_PRIVATE_KEY"] = os.environ.get("METIS_SEAL_PRIVATE_KEY", stack.secrets.seal_private_key)
    settings["METIS_DATABASE_URL"] = stack.database_urls[name]
    settings["METIS_DATABASE_POOL_SIZE"] = os.environ.get("METIS_DATABASE_POOL_SIZE", POOL_SIZE)
    if not _amqp_url():
        settings["METIS_BUS_DATABASE_URL"] = stack.database_urls[BUS]
    return settings


def _amqp_url() -> str | None:
    return os.environ.get("METIS_AMQP_URL")


def choose_ports(wanted: Mapping[str, int], *, held: ExitStack | None = None) -> tuple[dict[str, int], list[str]]:
    """The usual ports where they are free, others where they are taken; and a remark for each that moved.

    While `held` is open no other stack of this machine takes them: seconds pass until a process listens.
    """
    chosen, remarks = {}, []
    for name, port in wanted.items():
        chosen[name] = _free_port(port, held=held)
        if chosen[name] != port:
            remarks.append(f"Le port {port} est occupé : {name} écoute sur {chosen[name]}.")
    return chosen, remarks


def _free_port(wanted: int, *, held: ExitStack | None) -> int:
    for port in (wanted, *[None] * PORT_TRIES):
        found = port or find_free_port()
        if is_free(found) and (held is None or _claim(found, held)):
            return found
    raise CliError("Aucun port libre sur cette machine.", cure="Fermez des programmes qui écoutent, puis réessayez.")


def _claim(port: int, held: ExitStack) -> bool:
    """Whether no other stack has chosen it. The claim leaves with the process, however that ends."""
    try:
        file = held.enter_context((Path(tempfile.gettempdir()) / f"metis-port-{port}.lock").open("a"))
    except OSError:
        return True  # somebody else's file, or nowhere to write: then the first to listen has it, as before
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _stop(stack: Stack, *, say: Say) -> None:
    say("Arrêt")
    killed = await stack.children.stop()
    if stack.server is not None:
        await asyncio.to_thread(embedded_postgres.stop, stack.server)
    stack.state.write("running.json", {})
    if killed:
        say(f"Arrêtés de force après {STOP_SECONDS} s : {', '.join(killed)}")
