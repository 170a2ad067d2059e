"""A real RabbitMQ for tests, of our own so that it may be stopped, stalled and started again.

Looked for in this order: METIS_TEST_AMQP_URL (cannot be stopped: the fault tests fail with that reason),
Docker (testcontainers), `rabbitmq-server` on this machine, and, as root on Debian, apt.
"""

import fcntl
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, cast

from testcontainers.core.container import DockerContainer

from cli.ports import find_free_port

log = logging.getLogger("metis.tests")

START_SECONDS = 90
PATHS = ("/usr/lib/rabbitmq/bin", "/usr/local/sbin", "/opt/homebrew/sbin")


class Broker(Protocol):
    @property
    def url(self) -> str: ...
    def stop(self) -> None: ...
    def start(self) -> None: ...
    def stall(self) -> None: ...
    def resume(self) -> None: ...
    def remove(self) -> None: ...


def make_broker() -> Broker:
    """A running broker. Raises RuntimeError, with what to do, when none can be had."""
    if url := os.environ.get("METIS_TEST_AMQP_URL"):
        return GivenBroker(url)
    if _docker_answers():
        try:
            return ContainerBroker()
        except Exception as error:
            log.warning("Docker answers but gives no RabbitMQ (%s); looking on this machine", error)
    program = find_rabbitmq() or _install_with_apt()
    return LocalBroker(program)


def find_rabbitmq() -> Path | None:
    # The program itself, not Debian's wrapper in /usr/sbin, which insists on its own user.
    for folder in PATHS:
        if (program := Path(folder) / "rabbitmq-server").is_file():
            return program
    found = shutil.which("rabbitmq-server")
    return Path(found) if found else None


def _install_with_apt() -> Path:
    """One worker installs; the others wait, and find it."""
    with (Path(tempfile.gettempdir()) / "metis-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return find_rabbitmq() or _install()


def _install() -> Path:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        # Debian's package starts a server of its own unless told otherwise; the tests start theirs.
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            for command in ("update -qq", "install -y -qq --no-install-recommends rabbitmq-server"):
                subprocess.run(["apt-get", *command.split()], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=600)
        finally:
            if ours:
                policy.unlink()
        if program := find_rabbitmq():
            return program
    raise RuntimeError(
        "These tests need a RabbitMQ. Give METIS_TEST_AMQP_URL, start Docker, or install rabbitmq-server "
        "(as root on Debian the tests install it themselves)."
    )


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        done = subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False


class GivenBroker:
    def __init__(self, url: str) -> None:
        self.url = url

    def _refuse(self) -> None:
        raise RuntimeError("METIS_TEST_AMQP_URL names a broker that is not ours to stop; unset it for the fault tests.")

    stop = start = stall = resume = _refuse

    def remove(self) -> None:
        """It stays with its owner."""


class ContainerBroker:
    def __init__(self) -> None:
        self._port = find_free_port()
        self._container = DockerContainer(os.environ.get("METIS_TEST_RABBITMQ_IMAGE", "rabbitmq:4-management"))
        self._container.with_env("RABBITMQ_DEFAULT_USER", "guest").with_env("RABBITMQ_DEFAULT_PASS", "guest")
        # On loopback alone; the library's own binding would listen to the whole network.
        self._container.ports = cast(Any, {5672: ("127.0.0.1", self._port)})
        self._container.start()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"
        _wait_for_port(self._port)

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=20)

    def start(self) -> None:
        self._container.get_wrapped_container().start()
        _wait_for_port(self._port)

    def stall(self) -> None:
        self._container.get_wrapped_container().pause()

    def resume(self) -> None:
        self._container.get_wrapped_container().unpause()

    def remove(self) -> None:
        self._container.stop()


class LocalBroker:
    """One node in a folder of its own, on loopback."""

    def __init__(self, program: Path) -> None:
        self._program = program
        # Short: Erlang keeps names of sockets and nodes in it.
        self._folder = Path(tempfile.mkdtemp(prefix="metis-mq-"))
        self._port, self._distribution_port, self._epmd_port = (find_free_port() for _ in range(3))
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}/"
        self.start()

    def _environment(self) -> dict[str, str]:
        config = self._folder / "rabbitmq.conf"
        config.write_text(f"listeners.tcp.1 = 127.0.0.1:{self._port}\ndisk_free_limit.absolute = 50MB\nlog.console = false\n")
        plugins = self._folder / "enabled_plugins"
        plugins.write_text("[].\n")
        return os.environ | {
            "HOME": str(self._folder),
            "RABBITMQ_NODENAME": f"metis{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(config),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "no-env.conf"),
        }

    def start(self) -> None:
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._program)],
                env=self._environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self._folder,
            )
        try:
            _wait_for_port(self._port, process=self._process)
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{(self._folder / 'output').read_text(errors='replace')[-3000:]}") from None

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def stop(self) -> None:
        assert self._process is not None
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait(10)

    def stall(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        self.resume()
        self.stop()
        self._signal(signal.SIGKILL)
        # The node's port mapper outlives it; it is ours alone, by its port.
        subprocess.run(
            ["epmd", "-port", str(self._epmd_port), "-kill"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        shutil.rmtree(self._folder, ignore_errors=True)


def _wait_for_port(port: int, *, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Until the broker greets an AMQP client (an open port alone may be a proxy's)."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"rabbitmq-server ended with {process.returncode}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.settimeout(5)
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            if connection.recv(1):
                return
        time.sleep(0.2)
    raise RuntimeError(f"RabbitMQ does not answer on port {port} after {START_SECONDS} s")
