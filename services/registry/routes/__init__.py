"""The registry over HTTP, one file for each kind of thing."""

from services.registry.routes import actors, clients, members, territory

routers = [territory.router, clients.router, actors.router, members.router]
