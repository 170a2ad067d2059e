"""The registry listens to nobody: it is where the facts about people and bodies begin."""

from kernel.bus.consumer import Handlers

handlers = Handlers()
