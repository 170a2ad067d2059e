"""The routes of matching, by what they are about."""

from services.matching.routes import explaining, missions, needs, offers, proposals, reports, rounds, weights

routers = [
    needs.router,
    offers.router,
    proposals.router,
    rounds.router,
    missions.router,
    weights.router,
    explaining.router,
    reports.router,
]
