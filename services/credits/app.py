"""The credits service: wiring of its routes, its handlers and its clock."""

from fastapi import FastAPI

from kernel.web import make_service_app
from services.credits.auditing.job import make_audit_job
from services.credits.handlers import handlers
from services.credits.jobs import make_jobs
from services.credits.routes import routers
from services.credits.sealing.job import make_sealing
from services.credits.settings import Settings
from services.credits.use_cases.combiner import Combiner
from services.credits.use_cases.missions import decide_missions
from services.credits.use_cases.pledges import answer_promises


def make_service(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    sealing = make_sealing(settings)
    jobs = [*make_jobs(settings), *sealing.jobs, make_audit_job(settings)]
    return make_service_app(
        "credits", settings, routers=routers, handlers=handlers, jobs=jobs, prepare=_prepare, describe=sealing.describe
    )


def _prepare(app: FastAPI) -> None:
    app.state.missions = Combiner(app.state.database, decide_missions)
    app.state.promises = Combiner(app.state.database, answer_promises)
