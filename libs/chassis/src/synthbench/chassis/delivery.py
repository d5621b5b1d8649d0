"""An event as a handler receives it, and a message that is given up."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, cast, get_args
from uuid import UUID

from nats.aio.msg import Msg
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from synthbench.contracts.cloudevents import Envelope, Event_co, MalformedEvent
from synthbench.contracts.model import Record
from synthbench.contracts.registry import Durable, sender_of


@dataclass(frozen=True)
class Malformed:
    """A message that is given up: it is no event of ours, or its handler could not handle it."""

    event_id: UUID
    sender: str
    """The sender, as in `Delivery.sender`."""
    content: object
    """The JSON that could be read of it, as `cloudevents.loads` returns it."""
    error: MalformedEvent


OnMalformed = Callable[[Malformed], Awaitable[None]]
"""Tells the sender what is wrong, before the message becomes a dead letter."""


class Delivery(Generic[Event_co]):
    """An event, with the message that brought it.

    Args:
        envelope: the event with its CloudEvents attributes.
        durable: the consumer through which it came.
        message: as nats-py delivered it.
        payload: the event's JSON as it was sent, wherever it lay.
    """

    def __init__(self, envelope: Envelope[Event_co], durable: Durable, message: Msg, payload: bytes) -> None:
        self.envelope = envelope
        self.durable = durable
        self.message = message
        self.payload = payload

    @property
    def event(self) -> Event_co:
        """The event itself."""
        return self.envelope.body

    @property
    def deliveries(self) -> int:
        """Number of times that the server delivered the message, from 1."""
        return self.message.metadata.num_delivered

    @property
    def sequence(self) -> int:
        """Number of the message in its stream."""
        return self.message.metadata.sequence.stream

    @property
    def sender(self) -> str:
        """The sender, as the server proves it; only for events whose subjects name their sender (`sender_of`)."""
        return sender_of(self.message.subject)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let FastStream check that a handler is given the event which its annotation names, and document that."""
        named = [event for event in get_args(source) if event is not Any]
        event = named[0] if named else Record

        def check(value: Any) -> "Delivery[Any]":
            if not isinstance(value, Delivery) or not isinstance(value.event, event):  # pyright: ignore[reportUnknownMemberType] - checked here
                raise TypeError(f"the handler takes deliveries of {event}, and was given {value!r}")
            return cast("Delivery[Any]", value)

        return core_schema.no_info_plain_validator_function(check, json_schema_input_schema=handler(event))
