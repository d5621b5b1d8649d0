"""The streams' retention and limits. The topology step of the chassis makes them so."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import (
    DEFAULT_CLIENTS,
    EVENTS,
    OPERATOR,
    EventSpec,
    Service,
    Stream,
    arrives_as,
    client_stream,
)

_MIB = 1024 * 1024
CLIENT_PENDING = 10_000
"""So many messages of one client, of one event and pool, may wait to be read; more are refused with that reason."""

DEAD_LETTERS = 5_000
"""Of one consumer; then it stalls until somebody looks at them, and no other does."""


@dataclass(frozen=True)
class StreamSpec:
    """One stream. All discard *new* and know no age: a full one stalls its publishers, it never drops."""

    name: str
    subjects: tuple[str, ...]
    retention: Literal["workqueue", "interest", "limits"]
    max_bytes: int
    """Default size limit; deployments set their own."""
    max_per_subject: int = -1
    """How many messages of one subject it holds; -1 for no limit of its own."""


def _subjects_of(spec: EventSpec) -> tuple[str, ...]:
    """Return the subjects of an event that lie in the stream which the registry names for it."""
    if spec.by_sender:  # those of services alone; clients' own lie in theirs
        return tuple(f"{spec.name}.*.{service}" for service in spec.sending_services)
    if spec.to_sender:
        return (spec.name, f"{spec.name}.*")
    return (f"{spec.name}.>",) if spec.tokens else (spec.name,)


def _subjects(stream: Stream) -> tuple[str, ...]:
    return tuple(subject for spec in EVENTS if spec.stream is stream for subject in _subjects_of(spec))


STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec(Stream.TASKS, _subjects(Stream.TASKS), "workqueue", 256 * _MIB),
    StreamSpec(Stream.STEPS, _subjects(Stream.STEPS), "interest", 1024 * _MIB),
    StreamSpec(Stream.EVENTS, _subjects(Stream.EVENTS), "interest", 1024 * _MIB),
    StreamSpec(Stream.DEAD, ("dead.>",), "limits", 256 * _MIB, DEAD_LETTERS),
)


def _client(sender: str, pools: Sequence[str]) -> StreamSpec:
    """Declare the stream of what one client sends: no other client can fill it, or use up message ids in it."""
    sent = (spec for spec in EVENTS if spec.by_sender and Service.CLIENT in spec.producers)
    subjects = tuple(arrives_as(subject, sender) for spec in sent for subject in spec.subjects(pools))
    return StreamSpec(client_stream(sender), subjects, "workqueue", 64 * _MIB, CLIENT_PENDING)


def streams(clients: Sequence[str] = DEFAULT_CLIENTS, pools: Sequence[str] = DEFAULT_POOLS) -> tuple[StreamSpec, ...]:
    """All streams of a deployment with these clients and pools."""
    return (*STREAMS, *(_client(sender, pools) for sender in (OPERATOR, *clients)))
