"""The credits service: wiring of its routes, its handlers and its clock."""

from fastapi import FastAPI

from kernel.web import make_service_app
from services.credits.handlers import handlers
from services.credits.jobs import make_jobs
from services.credits.routes import routers
from services.credits.settings import Settings


def make_service(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    return make_service_app("credits", settings, routers=routers, handlers=handlers, jobs=make_jobs(settings))
