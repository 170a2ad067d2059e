"""Apps for the nursery's tests: one that is ready at once, one that cannot even be built."""

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
