"""The routes of matching, by what they are about."""

from services.matching.routes import missions, needs, offers, proposals, weights

routers = [needs.router, offers.router, proposals.router, missions.router, weights.router]
