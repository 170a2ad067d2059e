"""The HTTP routes of the credits service."""

from services.credits.routes import (
    approvals,
    campaigns,
    closings,
    conventions,
    exports,
    grants,
    holds,
    indicators,
    ledger,
    pledges,
    publications,
    receipts,
    seals,
    statements,
    valuations,
    what_if,
)

routers = [
    campaigns.router,
    pledges.router,
    grants.router,
    what_if.router,
    publications.router,
    approvals.router,
    ledger.router,
    holds.router,
    conventions.router,
    valuations.router,
    receipts.router,
    seals.router,
    statements.router,
    closings.router,
    exports.router,
    indicators.router,
]
