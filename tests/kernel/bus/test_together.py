"""Events that one handler takes at once: in order, each with its own span, and one at fault fails alone."""

from typing import ClassVar

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kernel.bus.consumer import Consumer, Handlers, Told
from kernel.bus.transport import Delivery
from kernel.clock import utc_now
from kernel.events import Event
from kernel.events.envelope import Envelope, encode_event
from kernel.ids import new_id
from kernel.telemetry import current_traceparent, span, span_context_of
from kernel.work import Work
from tests.kernel.bus.conftest import World
from tests.kernel.bus.node import TERRITORY, ThingHappened


class OtherHappened(Event):
    event_type: ClassVar[str] = "tests.other_happened.v1"
    number: int


class Heard:
    """A consumer whose handler takes things at once, other things alone, and answers each thing with another."""

    def __init__(self, *, poison: int | None = None) -> None:
        self.calls: list[list[int]] = []
        self.answers: list[Envelope] = []
        self.handlers = Handlers()

        @self.handlers.on_together(ThingHappened)
        async def on_things(work: Work, told: Told) -> None:
            numbers = [event.number for _, event in told if isinstance(event, ThingHappened)]
            if poison in numbers:
                raise RuntimeError(f"cannot digest {poison}")
            self.calls.append(numbers)
            for view, _ in told:
                assert view.message is not None
                body = view.encode(OtherHappened(number=0), subject=view.message.subject)[3]
                self.answers.append(Envelope.decode(body))

        @self.handlers.on(OtherHappened)
        async def on_other(work: Work, event: OtherHappened) -> None:
            self.calls.append([event.number])


async def deliver(world: World, heard: Heard, *events: Event) -> Consumer:
    node = await world.make_node("node")
    consumer = Consumer(node.service, node.database, heard.handlers, node.transport, retry_delays_seconds=(60,))
    await consumer.handle_batch([delivery_of(event) for event in events])
    return consumer


def delivery_of(event: Event) -> Delivery:
    with span("a use case"):
        body = encode_event(
            event, id=new_id(), source="/metis/test", time=utc_now(), subject=str(new_id()), territory=TERRITORY,
            traceparent=current_traceparent(), actorid="somebody",
        )  # fmt: skip
    return Delivery(body, redelivered=False, tag=None)


def thing(number: int) -> ThingHappened:
    return ThingHappened(number=number)


async def test_what_comes_in_a_row_is_taken_at_once(world: World) -> None:
    heard = Heard()
    await deliver(world, heard, thing(1), thing(2), thing(3), OtherHappened(number=4), thing(5), thing(6))
    assert heard.calls == [[1, 2, 3], [4], [5, 6]]


async def test_the_one_at_fault_fails_alone(world: World) -> None:
    heard = Heard(poison=2)
    await deliver(world, heard, thing(1), thing(2), thing(3))
    assert heard.calls == [[1], [3]]
    assert await world.nodes[0].waiting() == 1


async def test_each_has_a_span_of_its_own_which_its_answers_name(world: World, spans: InMemorySpanExporter) -> None:
    heard = Heard()
    await deliver(world, heard, thing(1), thing(2))
    finished = spans.get_finished_spans()
    tellers = [found for found in finished if found.name == "a use case"]
    handled = {found.context.span_id: found for found in finished if found.name == f"process {ThingHappened.event_type}"}
    assert len(handled) == 2
    for teller, answer in zip(tellers, heard.answers, strict=True):
        named = span_context_of(answer.traceparent)
        assert named is not None
        parent = handled[named.span_id].parent
        assert parent is not None
        assert parent.span_id == teller.context.span_id


async def test_spans_of_what_failed_together_say_so(world: World, spans: InMemorySpanExporter) -> None:
    await deliver(world, Heard(poison=2), thing(1), thing(2))
    handled = [found for found in spans.get_finished_spans() if found.name == f"process {ThingHappened.event_type}"]
    # Both at once, then each alone.
    assert [found.status.is_ok for found in handled].count(False) == 3
    assert len(handled) == 4


def test_an_event_has_one_handler() -> None:
    handlers = Heard().handlers
    for register in (handlers.on(ThingHappened), handlers.on_together(OtherHappened)):
        with pytest.raises(TypeError, match="has a handler already"):
            register(lambda *_: None)  # type: ignore[arg-type]
