"""The registry's app: wiring only."""

from fastapi import FastAPI

from kernel.web import make_service_app
from services.registry.handlers import handlers
from services.registry.routes import routers
from services.registry.settings import Settings


def make_service(settings: Settings | None = None) -> FastAPI:
    """The service; without settings it reads the environment's."""
    return make_service_app("registry", settings or Settings(), routers=routers, handlers=handlers)
