"""The routes of matching, by what they are about."""

from services.matching.routes import missions, needs, offers, proposals, rounds, weights

routers = [needs.router, offers.router, proposals.router, rounds.router, missions.router, weights.router]
