"""Matching's wiring. `python -m kernel.web services.matching.app:make_service` serves it."""

from functools import partial

from fastapi import FastAPI

from kernel.jobs import Job
from kernel.web import make_service_app
from services.matching.computing.supervisor import compute_waiting
from services.matching.handlers import handlers
from services.matching.jobs import expire_everywhere, refresh_everywhere
from services.matching.routes import routers
from services.matching.settings import Settings
from services.matching.use_cases.suggestions import Suggester


def make_service(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    expiry = Job("matching-expiry", settings.expiry_poll_seconds, expire_everywhere)
    refresh = Job("matching-refresh", settings.refresh_poll_seconds, refresh_everywhere)
    compute = partial(compute_waiting, limit_seconds=settings.round_limit_seconds)
    rounds = Job("matching-rounds", settings.rounds_poll_seconds, compute)

    def prepare(app: FastAPI) -> None:
        app.state.suggester = Suggester(
            app.state.database, threads=settings.suggestion_threads, most_waiting=settings.most_waiting_suggestions
        )
        if settings.warm_suggestions:
            app.state.suggester.warm()

    jobs = [expiry, refresh, rounds]
    return make_service_app("matching", settings, routers=routers, handlers=handlers, jobs=jobs, prepare=prepare)
