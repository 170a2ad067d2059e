"""Wiring of notifications."""

from fastapi import FastAPI

from kernel.jobs import Job
from kernel.web import make_service_app
from services.notifications.handlers import handlers
from services.notifications.jobs.announcements import Announcer
from services.notifications.jobs.deliveries import DeliverySender
from services.notifications.jobs.emails import EmailSender
from services.notifications.jobs.forgetting import Forgetter
from services.notifications.routes import router
from services.notifications.settings import Settings
from services.notifications.use_cases import bells


def make_service(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    jobs = [
        Job("announce", 1, Announcer().run, bells.announcements_wait),
        Job("send-emails", 1, EmailSender(settings).run, bells.emails_wait),
        Job("deliver-webhooks", 1, DeliverySender(settings).run, bells.deliveries_wait),
        Job("forget", 3600, Forgetter(settings).run),
    ]
    return make_service_app("notifications", settings, routers=[router], handlers=handlers, jobs=jobs)
