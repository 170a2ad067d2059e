"""The HTTP routes of the credits service."""

from services.credits.routes import (
    approvals,
    campaigns,
    closings,
    conventions,
    grants,
    holds,
    ledger,
    pledges,
    publications,
    receipts,
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
    statements.router,
    closings.router,
]
