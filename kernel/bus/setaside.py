"""What RabbitMQ itself has put aside: messages that were taken again and again and never answered, in `metis.<service>.dead`.

The consumer parks what fails, so these queues should stay empty (docs/adr/0002). What is there has no row anywhere; given
back to the service's own queue, it is handled once like anything else: the inbox knows what was handled before.
"""

from collections.abc import Sequence

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, DeliveryMode
from aiormq.exceptions import ChannelNotFoundEntity

from kernel.bus.transport import dead_queue_name, queue_name

TIMEOUT_SECONDS = 10


async def count_set_aside(url: str, services: Sequence[str]) -> dict[str, int]:
    """Messages put aside, by service; a service that has no such queue yet has none. Raises what aio-pika raises."""
    connection = await aio_pika.connect(url, timeout=TIMEOUT_SECONDS)
    async with connection:
        return {service: await _count(await connection.channel(), dead_queue_name(service)) for service in services}


async def _count(channel: AbstractChannel, queue: str) -> int:
    """A question about a queue that is not there closes the channel it is asked on, hence one for each."""
    try:
        declared = await channel.declare_queue(queue, passive=True, timeout=TIMEOUT_SECONDS)
    except ChannelNotFoundEntity:
        return 0
    await channel.close()
    return declared.declaration_result.message_count or 0


async def recover_set_aside(url: str, service: str) -> int:
    """Give what was put aside to the service's queue again; returns how many messages. Each is taken from the one queue
    after the other has confirmed it: cut short, it repeats one, which the inbox knows."""
    connection = await aio_pika.connect(url, timeout=TIMEOUT_SECONDS)
    async with connection:
        waiting = await _count(await connection.channel(), dead_queue_name(service))
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        recovered = 0
        # Counted beforehand: what comes back meanwhile, for its cause is not mended, would be moved for ever.
        while recovered < waiting:
            dead = await channel.get_queue(dead_queue_name(service), ensure=False)
            message = await dead.get(fail=False, timeout=TIMEOUT_SECONDS)
            if message is None:
                break
            await channel.default_exchange.publish(_again(message), queue_name(service), timeout=TIMEOUT_SECONDS)
            await message.ack()
            recovered += 1
        return recovered


def _again(message: AbstractIncomingMessage) -> aio_pika.Message:
    """As it was first published, without what the broker wrote on it."""
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        type=message.type,
        app_id=message.app_id,
    )
