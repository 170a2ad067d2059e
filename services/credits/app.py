"""The credits service: wiring of its routes, its handlers and its clock."""

from fastapi import FastAPI

from kernel.web import make_service_app
from services.credits.handlers import handlers
from services.credits.jobs import make_jobs
from services.credits.routes import routers
from services.credits.settings import Settings
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import decide_missions


def make_service(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    return make_service_app("credits", settings, routers=routers, handlers=handlers, jobs=make_jobs(settings), prepare=_prepare)


def _prepare(app: FastAPI) -> None:
    app.state.missions = Combiner(app.state.database, decide_missions)
