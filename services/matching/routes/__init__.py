"""The routes of matching, by what they are about."""

from services.matching.routes import (
    explaining,
    missions,
    needs,
    offers,
    own_skills,
    proposals,
    reports,
    rounds,
    skills,
    suggestions,
    weights,
)

routers = [
    needs.router,
    offers.router,
    proposals.router,
    rounds.router,
    missions.router,
    weights.router,
    skills.router,
    suggestions.router,
    own_skills.router,
    explaining.router,
    reports.router,
]
