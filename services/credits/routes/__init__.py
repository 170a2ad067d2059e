"""The HTTP routes of the credits service."""

from services.credits.routes import campaigns, grants, holds, ledger, pledges, statements

routers = [campaigns.router, pledges.router, grants.router, ledger.router, holds.router, statements.router]
