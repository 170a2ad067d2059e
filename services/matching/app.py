"""Matching's wiring. `python -m kernel.web services.matching.app:make_service` serves it."""

from fastapi import FastAPI

from kernel.jobs import Job
from kernel.web import make_service_app
from services.matching.handlers import handlers
from services.matching.jobs import expire_everywhere, refresh_everywhere
from services.matching.routes import routers
from services.matching.settings import Settings


def make_service(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    expiry = Job("matching-expiry", settings.expiry_poll_seconds, expire_everywhere)
    refresh = Job("matching-refresh", settings.refresh_poll_seconds, refresh_everywhere)
    return make_service_app("matching", settings, routers=routers, handlers=handlers, jobs=[expiry, refresh])
