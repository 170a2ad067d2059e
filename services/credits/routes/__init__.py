"""The HTTP routes of the credits service."""

from services.credits.routes import campaigns, conventions, grants, holds, ledger, pledges, receipts, statements, valuations

routers = [campaigns.router, pledges.router, grants.router, ledger.router, holds.router, statements.router]
routers += [conventions.router, valuations.router, receipts.router]
