"""The transport for production: RabbitMQ 3.10 to 4.x.

A durable topic exchange; a quorum queue per service with a single active consumer, so that order per
subject holds across replicas; mandatory publishing with confirms. The connections are plain ones, made
anew after each loss: a "robust" consumer never comes back after its queue was deleted (aio-pika#231).
The hot paths use aiormq below aio-pika, which has windowed confirms and multiple acknowledgement.

What waits together in the outbox and has one type travels in one message, a CloudEvent a line: per event, the
broker and both ends then cost a tenth (docs/adr/0012). A lone event travels alone, without delay.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import aio_pika
import aiormq
from aio_pika.abc import AbstractConnection
from aiormq.abc import DeliveredMessage
from aiormq.channel import Channel
from pamqp import commands as spec

from kernel.bus.transport import EXCHANGE, Delivery, Outgoing, TransportLost, dead_queue_name, queue_name
from kernel.cancellation import raise_if_cancelled

log = logging.getLogger("metis.bus.rabbitmq")

CONNECT_TIMEOUT_SECONDS = 10
# To open a channel and declare what is on it: a broker may be alive and yet not answer, as for a queue without its majority.
SETUP_TIMEOUT_SECONDS = 30
CONFIRM_TIMEOUT_SECONDS = 15
WATCH_SECONDS = 5
PREFETCH = 100
ONE_EVENT = "application/cloudevents+json"
MANY_EVENTS = "application/x-ndjson"  # one CloudEvent a line
MOST_EVENTS, MOST_BYTES = 50, 256 * 1024  # in one message
HEARTBEAT_SECONDS = 10
# Each is what a lost or stalled broker raises; CancelledError comes from aiormq when it gives a publish up.
LOST = (aiormq.exceptions.AMQPError, OSError, TimeoutError, RuntimeError, asyncio.CancelledError)


def queue_arguments(service: str) -> dict[str, Any]:
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        # The consumer parks failures itself; this only stops a message that ends every process that takes it
        # before the consumer can note it. RabbitMQ 4 would otherwise choose 20 and drop.
        "x-delivery-limit": 100,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": dead_queue_name(service),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


class RabbitTransport:
    """One publishing connection, and one for each subscription: a blocked publisher never stalls a consumer."""

    def __init__(
        self, url: str, *, name: str, exchange: str = EXCHANGE, confirm_timeout_seconds: float = CONFIRM_TIMEOUT_SECONDS
    ) -> None:
        self._url = url
        self._name = name
        self._exchange = exchange
        self._confirm_timeout_seconds = confirm_timeout_seconds
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._connecting = asyncio.Lock()
        self.set_aside: int | None = None

    @property
    def system(self) -> str:
        return "rabbitmq"

    async def publish(self, messages: Sequence[Outgoing]) -> dict[UUID, str]:
        try:
            channel = await self._publisher()
        except LOST as error:
            _reraise_own_cancellation(error)
            return {message.event_id: f"no connection: {error!r}" for message in messages}
        parcels = _pack(messages)
        results = await asyncio.gather(*(self._publish_one(channel, parcel) for parcel in parcels))
        failed = {
            message.event_id: reason for parcel, reason in zip(parcels, results, strict=True) if reason for message in parcel
        }
        return failed

    async def _publish_one(self, channel: Channel, parcel: Sequence[Outgoing]) -> str | None:
        """None when the broker confirmed, else why not."""
        first = parcel[0]
        try:
            confirmation = await channel.basic_publish(
                b"\n".join(message.body for message in parcel),
                exchange=self._exchange,
                routing_key=first.type,
                mandatory=True,
                wait=False,
                timeout=self._confirm_timeout_seconds,
                properties=spec.Basic.Properties(
                    content_type=ONE_EVENT if len(parcel) == 1 else MANY_EVENTS,
                    delivery_mode=2,
                    message_id=str(first.event_id),
                    message_type=first.type,
                    app_id=self._name,
                ),
            )
        except aiormq.exceptions.PublishError as error:
            return f"no queue takes it: {error!r}"
        except LOST as error:
            _reraise_own_cancellation(error)
            return repr(error)
        return None if isinstance(confirmation, spec.Basic.Ack) else f"the broker refused it: {confirmation!r}"

    async def _publisher(self) -> Channel:
        """The open channel; batches under way together share it, and after a loss one of them makes it anew."""
        async with self._connecting:
            if self._channel is None or self._channel.is_closed:
                await self._drop_publisher()
                self._connection = await self._connect("publisher")
                async with asyncio.timeout(SETUP_TIMEOUT_SECONDS):
                    channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
                    await channel.declare_exchange(self._exchange, aio_pika.ExchangeType.TOPIC, durable=True)
                    self._channel = cast(Channel, await channel.get_underlay_channel())
            return self._channel

    async def _connect(self, role: str) -> AbstractConnection:
        return await aio_pika.connect(
            self._url,
            timeout=CONNECT_TIMEOUT_SECONDS,
            heartbeat=HEARTBEAT_SECONDS,
            client_properties={"connection_name": f"{self._name} {role}"},
        )

    async def _drop_publisher(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await _close_quietly(connection)

    @asynccontextmanager
    async def subscribe(self, service: str, patterns: Sequence[str]) -> AsyncIterator["RabbitSubscription"]:
        connection: AbstractConnection | None = None
        try:
            connection = await self._connect("consumer")
            async with asyncio.timeout(SETUP_TIMEOUT_SECONDS):
                subscription = await self._start_consuming(connection, service, patterns)
            watch = asyncio.create_task(self._watch(connection, service, subscription))
            try:
                yield subscription
            finally:
                watch.cancel()
        except LOST as error:
            _reraise_own_cancellation(error)
            raise TransportLost(repr(error)) from error
        finally:
            if connection is not None:
                await _close_quietly(connection)

    async def _start_consuming(
        self, connection: AbstractConnection, service: str, patterns: Sequence[str]
    ) -> "RabbitSubscription":
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=PREFETCH)
        exchange = await channel.declare_exchange(self._exchange, aio_pika.ExchangeType.TOPIC, durable=True)
        dead = await channel.declare_queue(dead_queue_name(service), durable=True, arguments={"x-queue-type": "quorum"})
        self.set_aside = dead.declaration_result.message_count
        queue = await channel.declare_queue(queue_name(service), durable=True, arguments=queue_arguments(service))
        for pattern in patterns:
            await queue.bind(exchange, pattern)
        subscription = RabbitSubscription(cast(Channel, await channel.get_underlay_channel()))
        await subscription.consume(queue.name)
        return subscription

    async def _watch(self, connection: AbstractConnection, service: str, subscription: "RabbitSubscription") -> None:
        """End the subscription when its queue is gone or has no consumer: the broker's notice can be missed. And count what
        the broker has put aside."""
        while True:
            raise_if_cancelled()
            await asyncio.sleep(WATCH_SECONDS)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS), connection.channel() as channel:
                    declared = await channel.declare_queue(queue_name(service), passive=True)
                    if not declared.declaration_result.consumer_count:
                        subscription.lose("the queue has no consumer")
                    dead = await channel.declare_queue(dead_queue_name(service), passive=True)
                    self.set_aside = dead.declaration_result.message_count
            except LOST as error:
                _reraise_own_cancellation(error)
                subscription.lose(repr(error))

    async def close(self) -> None:
        await self._drop_publisher()


class RabbitSubscription:
    """Deliveries of one consumer, handed on in batches."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        # What came in one message stays together: it is acknowledged as one.
        self._arrived: asyncio.Queue[list[Delivery] | None] = asyncio.Queue()
        self._lost: str | None = None

    async def consume(self, queue: str) -> None:
        self._channel.on_consumer_cancel_callbacks.add(self._on_cancel)
        self._channel.closing.add_done_callback(lambda _: self.lose("the channel closed"))
        await self._channel.basic_consume(queue, self._on_message)

    async def _on_message(self, message: DeliveredMessage) -> None:
        many = message.header.properties.content_type == MANY_EVENTS
        bodies = message.body.split(b"\n") if many else [message.body]
        self._arrived.put_nowait([Delivery(body, bool(message.redelivered), message.delivery_tag) for body in bodies])

    async def _on_cancel(self, _: object) -> None:
        self.lose("the broker cancelled the consumer (queue deleted?)")

    def lose(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._arrived.put_nowait(None)

    async def next_batch(self, limit: int) -> list[Delivery]:
        batch: list[Delivery] = []
        while not batch or (len(batch) < limit and not self._arrived.empty()):
            together = await self._arrived.get()
            if self._lost or together is None:
                raise TransportLost(self._lost or "closed")
            batch += together
        return batch

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        # Batches are taken and finished in order, so the last tag speaks for all before it.
        try:
            await self._channel.basic_ack(deliveries[-1].tag, multiple=True, wait=False)
        except LOST as error:
            _reraise_own_cancellation(error)
            raise TransportLost(repr(error)) from error


def _pack(messages: Sequence[Outgoing]) -> list[list[Outgoing]]:
    """Parcels of one type each, none over the bounds, each in the order of the outbox."""
    parcels: list[list[Outgoing]] = []
    open_parcels: dict[str, tuple[list[Outgoing], int]] = {}
    for message in messages:
        parcel, size_bytes = open_parcels.get(message.type, ([], 0))
        if not parcel or len(parcel) == MOST_EVENTS or size_bytes + len(message.body) > MOST_BYTES:
            parcel, size_bytes = [], 0
            parcels.append(parcel)
        parcel.append(message)
        open_parcels[message.type] = parcel, size_bytes + len(message.body)
    return parcels


def _reraise_own_cancellation(error: BaseException) -> None:
    """A CancelledError is the library's word for "given up" unless somebody cancelled this very task."""
    if isinstance(error, asyncio.CancelledError):
        raise_if_cancelled()


async def _close_quietly(connection: AbstractConnection) -> None:
    try:
        async with asyncio.timeout(5):
            await connection.close()
    except LOST as error:
        _reraise_own_cancellation(error)
        log.debug("closing failed: %r", error)
