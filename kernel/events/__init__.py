"""Every event that services tell each other, and the CloudEvents envelope they travel in.

One module per owner. A published version only ever gains optional fields; anything else is a new
version beside the old. `docs/events/` is generated from here.
"""

from kernel.events import credits, matching, notifications, registry
from kernel.events.envelope import Envelope, Event

__all__ = ["EVENT_TYPES", "Envelope", "Event", "credits", "matching", "notifications", "registry"]

EVENT_TYPES: dict[str, type[Event]] = {
    event.event_type: event
    for module in (registry, credits, matching, notifications)
    for event in vars(module).values()
    if isinstance(event, type) and issubclass(event, Event) and event is not Event
}
