"""The HTTP routes of the credits service."""

from services.credits.routes import approvals, campaigns, grants, ledger, pledges, publications, statements, what_if

routers = [
    campaigns.router,
    pledges.router,
    grants.router,
    ledger.router,
    statements.router,
    approvals.router,
    what_if.router,
    publications.router,
]
