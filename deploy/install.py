"""`make install`: the environment in .venv from requirements.lock, every file checked by its hash.

Runs on the bare Python of the machine, so it uses the standard library alone.
"""

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)


def main() -> int:
    if sys.version_info < OLDEST:
        print(f"Métis needs Python {'.'.join(map(str, OLDEST))} or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        print("Name another one: make install PYTHON=python3.12", file=sys.stderr)
        return 1
    if not PYTHON.exists():
        try:
            venv.create(VENV, with_pip=True)
        except (subprocess.CalledProcessError, ImportError):
            print("This Python has no `venv` with pip. On Debian and Ubuntu: apt install python3-venv", file=sys.stderr)
            return 1
    lock = ROOT / "requirements.lock"
    print("Métis: installing into .venv (once; some 20 to 60 seconds) …", flush=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as only_uv:
        only_uv.write(_entry(lock.read_text(), "uv"))
        only_uv.flush()
        _run(str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", only_uv.name)
    uv = (str(VENV / "bin" / "uv"), "pip", "install", "-q", "--python", str(PYTHON))
    _run(*uv, "--require-hashes", "-r", str(lock))
    _run(*uv, "--no-build-isolation", "--no-deps", "-e", str(ROOT))
    return 0


def _entry(lock: str, name: str) -> str:
    """One package's lines of the lock: its pin and its hashes."""
    match = re.search(rf"^{name}==.*(?:\n    --hash=.*)+", lock, re.MULTILINE)
    if match is None:
        raise SystemExit(f"requirements.lock does not pin {name}; run `make lock`.")
    return match.group() + "\n"


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"`{' '.join(command[:4])} …` failed; the reason is above. Run make again: it goes on from there.")


if __name__ == "__main__":
    sys.exit(main())
