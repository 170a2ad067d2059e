"""Work for the nursery's tests: an app that is ready at once, one that cannot even be built; a task, one that fails."""

import os
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def make_app() -> Starlette:
    async def ready(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return Starlette(routes=[Route("/health/ready", ready)])


def make_broken_app() -> Starlette:
    raise ValueError("METIS_SOMETHING is missing")


def do_task() -> None:
    sys.stdout.write(f"did {os.environ['METIS_TASK']}\n")


def fail_task() -> None:
    sys.exit("no server there")
