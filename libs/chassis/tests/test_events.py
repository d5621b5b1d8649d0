"""What FastStream does with declared handlers: its test broker, the check of what a handler is given, its document."""

from typing import Any

from faststream.nats import TestNatsBroker
from faststream.specification import AsyncAPI

from listening import SUBMITTED, RecordingHandler, submitted
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.process import Chassis
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import CancelRequested, TaskSubmitted
from synthbench.contracts.model import Record

DELIVERED_FIRST = f"$JS.ACK.{SUBMITTED.stream}.{SUBMITTED.name}.1.1.1.1764400000000000000.0"
"""The reply subject of a message that JetStream delivers for the first time, as the first one of its stream."""


async def send(subscribers: EventSubscribers, event: Record) -> None:
    """Hand an event to the declared handlers without a server: nothing is stored, delivered again or acknowledged."""
    message = cloudevents.encode(Envelope(event, "test"))
    async with TestNatsBroker(subscribers.broker) as broker:
        await broker.publish(
            message.payload, message.subject, headers=message.headers, reply_to=DELIVERED_FIRST, stream=SUBMITTED.stream
        )


async def test_the_test_broker_of_faststream_runs_a_handler_on_its_event(chassis: Chassis):
    handler = RecordingHandler()
    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, handler)
    await send(subscribers, submitted("t"))
    (delivery,) = handler.seen
    assert (delivery.event, delivery.deliveries, delivery.sender) == (submitted("t"), 1, "operator")


async def test_a_handler_is_never_given_another_event_than_it_names(chassis: Chassis, logs: Any):
    seen: list[Record] = []

    async def handler(delivery: Delivery[CancelRequested]) -> None:
        seen.append(delivery.event)

    subscribers = EventSubscribers(chassis)
    wrong: Any = handler  # the type checker refuses it
    subscribers.on(TaskSubmitted, wrong)
    await send(subscribers, submitted("t"))
    assert seen == []
    assert any("the handler takes deliveries of" in str(line.get("reason")) for line in logs.entries)


async def test_the_document_of_faststream_shows_the_event_behind_a_delivery(chassis: Chassis):
    async def on_submitted(delivery: Delivery[TaskSubmitted]) -> None:
        """Accept or reject."""

    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, on_submitted)
    document = AsyncAPI(subscribers.broker, title="scheduler").to_specification().to_jsonable()
    assert {channel["address"] for channel in document["channels"].values()} >= {"task.submitted"}
    assert "scaffold_args" in str(document["components"]["schemas"])
