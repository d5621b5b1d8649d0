"""Consumers that the registry declares no more: an orphan on an interest stream ends by stalling its publishers.

What waits for one is moved where it belongs now, or kept as a dead letter, before the consumer goes.
"""

import asyncio
from collections.abc import Sequence

from nats.aio.msg import Msg
from nats.js import JetStreamContext, api

from synthbench.chassis.dead import dead_letter
from synthbench.chassis.errors import TopologyError
from synthbench.contracts.cloudevents import Message, loads
from synthbench.contracts.ids import derived_id
from synthbench.contracts.loose import as_object
from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import DEFAULT_CLIENTS, Service, Stream, arrives_as, client_stream, durables

_DRAIN_SECONDS = 30.0
_FETCH_SECONDS = 0.3
_BATCH = 200
_ACK_WAIT = 1.0
"""Seconds after which messages that a killed process had fetched are delivered to us."""
_SOURCE = "synth-bench/topology"
_CLIENT_STREAMS = client_stream("")


async def remove_undeclared(
    js: JetStreamContext, clients: Sequence[str], pools: Sequence[str] = DEFAULT_POOLS
) -> list[str]:
    """Remove consumers of ours, and streams of clients, that are declared no more; return their names.

    Consumers that do not bear the name of a service belong to somebody else, and stay.

    Raises:
        TopologyError: a process still has messages of one in hand.
    """
    removed: list[str] = []
    declared = {(durable.stream, durable.name) for durable in durables(clients, pools)}
    living = {stream for stream, _ in declared}
    for info in await js.streams_info():
        stream = str(info.config.name)
        if stream not in {*map(str, Stream)} and not stream.startswith(_CLIENT_STREAMS):
            continue
        for consumer in await js.consumers_info(stream):
            if (stream, consumer.name) not in declared and _ours(consumer.name):
                await _drain(js, stream, consumer, clients, pools)
                await js.delete_consumer(stream, consumer.name)
                removed.append(f"consumer {consumer.name} of {stream}")
        if stream.startswith(_CLIENT_STREAMS) and stream not in living:
            await js.delete_stream(stream)
            removed.append(f"stream {stream}")
    return removed


def _ours(consumer: str) -> bool:
    return consumer.startswith(tuple(f"{service}-" for service in Service))


async def _drain(
    js: JetStreamContext, stream: str, consumer: api.ConsumerInfo, clients: Sequence[str], pools: Sequence[str]
) -> None:
    await js.add_consumer(stream, consumer.config.evolve(ack_wait=_ACK_WAIT))  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
    subscription = await js.pull_subscribe_bind(durable=consumer.name, stream=stream)
    deadline = asyncio.get_running_loop().time() + _DRAIN_SECONDS
    while True:
        try:
            messages = await subscription.fetch(_BATCH, timeout=_FETCH_SECONDS)
        except TimeoutError:
            messages = []
        for message in messages:
            await _move(js, stream, consumer.name, message, clients, pools)
        left = await js.consumer_info(stream, consumer.name)
        if not left.num_pending and not left.num_ack_pending:
            break
        if asyncio.get_running_loop().time() > deadline:
            raise TopologyError(
                f"consumer {consumer.name} of {stream} is declared no more, and {left.num_ack_pending} messages of it "
                "are in the hands of a process of an earlier version; end that first"
            )
    await subscription.unsubscribe()


async def _move(
    js: JetStreamContext, stream: str, consumer: str, message: Msg, clients: Sequence[str], pools: Sequence[str]
) -> None:
    """Publish a message where it belongs now; the same one twice is stored once."""
    headers = {key: value for key, value in (message.headers or {}).items() if not key.lower().startswith("nats-")}
    kept = Message(message.subject, headers, message.data)
    identity = derived_id("moved", stream, message.metadata.sequence.stream, message.metadata.timestamp.isoformat())
    target, place = _successor(message, clients, pools)
    if not target:
        reason = f"consumer {consumer} is declared no more"
        identity, kept = dead_letter(message, kept, consumer, stream, reason, 1, _SOURCE)
        target, place = kept.subject, Stream.DEAD
    headers = {**kept.headers, "Nats-Msg-Id": str(identity)}
    await js.publish(target, kept.payload, stream=place, headers=headers)
    await message.ack_sync()


def _successor(message: Msg, clients: Sequence[str], pools: Sequence[str]) -> tuple[str, str]:
    """Return subject and stream of a message of an earlier version, in which all clients were one user, `client`.

    What that sent is still its; requests to verify are too, whoever they say that they are from (quality asks again).
    """
    (client,) = DEFAULT_CLIENTS
    subject = message.subject
    if subject == "verification.requested":
        subject = f"{subject}.{as_object(loads(message.data)).get('pool')}"
    wanted = arrives_as(subject, client)
    found = [durable for durable in durables(clients, pools) if durable.subject == wanted]
    return (found[0].subject, found[0].stream) if found else ("", "")
