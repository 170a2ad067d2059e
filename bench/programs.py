"""Programs that a bench measures against, found on the machine or, as root on Debian, installed by apt."""

import os
import shutil
import subprocess


def require(program: str, *, package: str) -> str:
    """The program's path. Raises RuntimeError, with what to do, when it cannot be had."""
    if not (found := _find(program)) and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True, stdout=subprocess.DEVNULL)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        subprocess.run(install, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found = _find(program)
    if not found:
        raise RuntimeError(f"This bench needs {program}; install the package {package} and run it again.")
    return found


def _find(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
