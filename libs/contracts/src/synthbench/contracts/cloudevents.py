"""CloudEvents 1.0 over NATS in binary mode: attributes in `ce-*` headers, the event's JSON as the payload.

Source: CloudEvents NATS protocol binding 1.0. A message without ce headers (`nats pub task.submitted '{…}'`) is
accepted, too: its type follows from the subject, its id from the stream's sequence, so that a redelivery has the same.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic
from uuid import UUID

from pydantic import ValidationError
from typing_extensions import TypeVar

from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef, FieldError
from synthbench.contracts.registry import (
    BY_BODY,
    BY_TYPE,
    OPERATOR,
    EventSpec,
    client_stream,
    spec_for_subject,
    subject_of,
)

CLAIM_CHECK_BYTES = 256 * 1024
"""A payload above this goes to the artifact store, and the event carries a reference (`ce-dataref`)."""

_ERRORS_MOST = 100
_SUBMISSION_ID = re.compile(rb'"submission_id"\s*:\s*"([0-9a-fA-F-]{32,36})"')
_SCOPE = ("submission_id", "campaign", "rollout_id", "attempt")


class MalformedEvent(ValueError):
    """A message that is no event of ours.

    Args:
        message: what is wrong, in one line.
        errors: what is wrong, field by field; by default the message alone.
        payload: the JSON that could not be read as an event; None where it could not be had.
    """

    def __init__(self, message: str, errors: list[FieldError] | None = None, payload: bytes | None = None) -> None:
        super().__init__(message)
        self.errors = errors or [FieldError(field="", message=message)]
        self.payload = payload


Event_co = TypeVar("Event_co", bound=Record, default=Record, covariant=True)
"""The model of an event, such as `TrajectoryDone`; any event where none is named."""


@dataclass(frozen=True)
class Envelope(Generic[Event_co]):
    """An event with its CloudEvents attributes."""

    body: Event_co
    source: str
    id: UUID = field(default_factory=uuid7)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    trace: Mapping[str, str] = field(default_factory=dict[str, str])
    """W3C trace context: `traceparent`, perhaps `tracestate`."""

    @property
    def spec(self) -> EventSpec:
        """The declaration of this kind of event in the registry."""
        return BY_BODY[type(self.body)]

    @property
    def subject(self) -> str:
        """The NATS subject."""
        return subject_of(self.body)

    @property
    def stream(self) -> str:
        """The stream that stores it when a service or the operator publishes it."""
        return self.spec.stream or client_stream(OPERATOR)


@dataclass(frozen=True)
class Message:
    """A NATS message: subject, headers and payload."""

    subject: str
    headers: dict[str, str]
    payload: bytes


def encode(envelope: Envelope) -> Message:
    """Make the NATS message of an event."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(envelope.id),
        "ce-source": envelope.source,
        "ce-type": envelope.spec.type,
        "ce-time": envelope.time.isoformat(),
        "content-type": "application/json",
        **envelope.trace,
    }
    for name in _SCOPE:
        value = getattr(envelope.body, name, None)
        if value is not None:
            headers["ce-" + name.removesuffix("_id")] = str(value)
    return Message(envelope.subject, headers, envelope.body.to_json())


def with_reference(message: Message, reference: ArtifactRef) -> Message:
    """Replace the payload by a reference to it (claim check)."""
    return Message(message.subject, {**message.headers, "ce-dataref": reference.uri}, reference.to_json())


def lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers as they came, in whatever case, by their names in lower case."""
    return {name.lower(): value for name, value in headers.items()} if headers else {}


def reference_of(headers: Mapping[str, str], payload: bytes) -> ArtifactRef | None:
    """Return where the real payload lies, None if it is here; `headers` are `lowered`.

    Raises:
        MalformedEvent: the reference is broken.
    """
    if "ce-dataref" not in headers:
        return None
    try:
        return ArtifactRef.model_validate_json(payload)
    except ValidationError as error:
        raise MalformedEvent("ce-dataref without a valid reference as payload", field_errors(error)) from error


def decode(
    subject: str, headers: Mapping[str, str], payload: bytes, *, sequence: Callable[[], int], stream: str
) -> Envelope:
    """Read an event.

    Args:
        subject: where it came.
        headers: `lowered`.
        payload: the event's JSON.
        sequence: returns its number in the stream; called where it has no id of its own.
        stream: where it lies.

    Raises:
        MalformedEvent: unknown type, no JSON, or fields that do not fit; one line, and field by field.
    """
    spec = BY_TYPE.get(headers["ce-type"]) if "ce-type" in headers else spec_for_subject(subject)
    if spec is None or not spec.carried_by(subject):
        problem = f"no event of type {headers.get('ce-type', '(none)')!r} belongs on subject {subject!r}"
        raise MalformedEvent(problem, payload=payload)
    try:
        body = spec.body.model_validate_json(payload)
    except ValidationError as error:
        errors = field_errors(error)
        summary = "; ".join(f"{e.field}: {e.message}" if e.field else e.message for e in errors[:3])
        raise MalformedEvent(f"{spec.name}: {summary}", errors, payload) from error
    return Envelope(
        body=body,
        source=headers.get("ce-source", "unknown"),
        id=event_id(headers.get("ce-id"), stream, sequence),
        time=_event_time(headers.get("ce-time")),
        trace={name: headers[name] for name in ("traceparent", "tracestate") if name in headers},
    )


def field_errors(error: ValidationError) -> list[FieldError]:
    """Translate pydantic's errors, the first hundred of them."""
    return [
        FieldError(field=".".join(str(part) for part in item["loc"]), message=item["msg"].removeprefix("Value error, "))
        for item in error.errors(include_url=False, include_input=False)[:_ERRORS_MOST]
    ]


def event_id(text: str | None, stream: str, sequence: Callable[[], int]) -> UUID:
    """Return the id of an event: its ce-id, or one that follows from its place in the stream."""
    if text is None:
        return derived_id("event", stream, sequence())
    try:
        return UUID(text)
    except ValueError:
        return derived_id("event", text)  # CloudEvents ids are any string; ours are UUIDs


def _event_time(text: str | None) -> datetime:
    try:
        return datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError:
        return datetime.now(UTC)


def loads(payload: bytes) -> Any:
    """Parse JSON for a look at a message that did not decode.

    Of what is no JSON, or nested too deep, the `submission_id` is returned alone where one can be read; else None.
    """
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        found = _SUBMISSION_ID.search(payload)
        return {"submission_id": found[1].decode()} if found else None
