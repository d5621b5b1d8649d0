"""The registry of events with their producers and consumers.

Subjects, streams, durables, permissions and the AsyncAPI document follow from this one declaration.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import product
from typing import Literal

from synthbench.contracts import events
from synthbench.contracts.model import Record
from synthbench.contracts.records import DEFAULT_POOLS, Priority

OPERATOR = "operator"
"""Who publishes in the services' own account without a name in the subject: the operator alone may."""
DEFAULT_CLIENTS = ("client",)
"""Who may submit where nobody says otherwise (`SYNTHBENCH_CLIENTS`)."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
"""Of a client or a pool: one token of a subject."""


class Stream(StrEnum):
    """The JetStream streams of the services (DESIGN.md, section 4); each client has its own (`client_stream`)."""

    TASKS = "TASKS"
    STEPS = "STEPS"
    EVENTS = "EVENTS"
    DEAD = "DEAD"


class Service(StrEnum):
    """The programs that connect to the bus; each has its own NATS user. `CLIENT` is the CLI and anyone who submits."""

    SCHEDULER = "scheduler"
    EXECUTOR = "executor"
    LLM_GATEWAY = "llm_gateway"
    COLLECTOR = "collector"
    QUALITY = "quality"
    DIVERSITY = "diversity"
    CLIENT = "client"
    TOPOLOGY = "topology"


@dataclass(frozen=True)
class EventSpec:
    """One kind of event. `name` is its subject, unless further `tokens` follow it."""

    name: str
    body: type[Record]
    stream: Stream | None
    """None: it lies in the stream of the client that sent it."""
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...] = ()
    tokens: tuple[Literal["pool", "priority"], ...] = ()
    """The parts of its subjects after the name; each value has its own durable (`task.ready.<pool>.<priority>`)."""
    by_sender: bool = False
    """Whether the last token of its subject names who sent it, as the server proves it; see `arrives_as`."""
    to_sender: bool = False
    """Whether the last token of its subject names the client that it answers; nobody else is sent it."""

    @cached_property
    def type(self) -> str:
        """The CloudEvents type, such as `synthbench.task.submitted.v1`."""
        return f"synthbench.{self.name}.v1"

    def suffixes(self, pools: Sequence[str] = DEFAULT_POOLS) -> tuple[str, ...]:
        """Every combination of its `tokens` in a deployment with these pools; none where it has no tokens."""
        values = {"pool": pools, "priority": tuple(Priority)}
        return tuple(".".join(parts) for parts in product(*(values[token] for token in self.tokens)) if parts)

    def subjects(self, pools: Sequence[str] = DEFAULT_POOLS) -> tuple[str, ...]:
        """Every subject that it is published on in a deployment with these pools, without the name of a sender."""
        return tuple(f"{self.name}.{suffix}" for suffix in self.suffixes(pools)) or (self.name,)

    @property
    def named(self) -> bool:
        """Whether a name may follow its subject."""
        return self.by_sender or self.to_sender

    def carried_by(self, subject: str) -> bool:
        """Whether it may come on this subject, in some deployment."""
        return self.is_nameless(subject) or (self.named and self.is_nameless(subject.rpartition(".")[0]))

    def is_nameless(self, subject: str) -> bool:
        """Whether this is a subject of it, in some deployment, without the name of a sender."""
        name, *values = subject.rsplit(".", len(self.tokens))
        fits = {"pool": _NAME.fullmatch, "priority": {*map(str, Priority)}.__contains__}
        return (
            name == self.name
            and len(values) == len(self.tokens)
            and all(fits[token](value) for token, value in zip(self.tokens, values, strict=True))
        )

    def senders(self, clients: Sequence[str]) -> tuple[str, ...]:
        """Return the senders that its subjects can name; one empty name where they name none."""
        if not self.by_sender:
            return ("",)
        return (*self.sending_services, OPERATOR, *clients)

    @property
    def sending_services(self) -> tuple[Service, ...]:
        """Services of ours that publish it."""
        return tuple(service for service in self.producers if service is not Service.CLIENT)


_S = Service

EVENTS: tuple[EventSpec, ...] = (
    EventSpec("task.submitted", events.TaskSubmitted, None, (_S.CLIENT,), (_S.SCHEDULER,), by_sender=True),
    EventSpec("task.accepted", events.TaskAccepted, Stream.EVENTS, (_S.SCHEDULER,), (_S.COLLECTOR,)),
    EventSpec("task.rejected", events.TaskRejected, Stream.EVENTS, (_S.SCHEDULER,), to_sender=True),
    EventSpec("task.ready", events.TaskReady, Stream.TASKS, (_S.SCHEDULER,), (_S.EXECUTOR,), ("pool", "priority")),
    EventSpec("cancel.requested", events.CancelRequested, None, (_S.CLIENT,), (_S.SCHEDULER,), by_sender=True),
    EventSpec("attempt.started", events.AttemptStarted, Stream.EVENTS, (_S.EXECUTOR,), (_S.SCHEDULER, _S.COLLECTOR)),
    EventSpec("step.recorded", events.StepRecorded, Stream.STEPS, (_S.EXECUTOR,), (_S.COLLECTOR,)),
    EventSpec(
        "attempt.finished",
        events.AttemptFinished,
        Stream.EVENTS,
        (_S.EXECUTOR,),
        (_S.SCHEDULER, _S.COLLECTOR),
    ),
    EventSpec("attempt.closed", events.AttemptClosed, Stream.EVENTS, (_S.SCHEDULER,), (_S.COLLECTOR, _S.LLM_GATEWAY)),
    EventSpec(
        "verification.requested",
        events.VerificationRequested,
        Stream.TASKS,
        (_S.QUALITY, _S.CLIENT),
        (_S.EXECUTOR,),
        ("pool",),
        by_sender=True,
    ),
    EventSpec("verification.finished", events.VerificationFinished, Stream.EVENTS, (_S.EXECUTOR,), (_S.QUALITY,)),
    EventSpec("trajectory.done", events.TrajectoryDone, Stream.EVENTS, (_S.COLLECTOR,), (_S.QUALITY,)),
    EventSpec(
        "trajectory.scored",
        events.TrajectoryScored,
        Stream.EVENTS,
        (_S.QUALITY,),
        (_S.DIVERSITY, _S.COLLECTOR),
    ),
    EventSpec(
        "trajectory.curated",
        events.TrajectoryCurated,
        Stream.EVENTS,
        (_S.DIVERSITY,),
        (_S.COLLECTOR, _S.SCHEDULER),
    ),
    EventSpec("llm.called", events.LlmCalled, Stream.STEPS, (_S.LLM_GATEWAY,), (_S.COLLECTOR,)),
    EventSpec("budget.exhausted", events.BudgetExhausted, Stream.EVENTS, (_S.LLM_GATEWAY,), (_S.SCHEDULER,)),
)

BY_NAME = {spec.name: spec for spec in EVENTS}
BY_TYPE = {spec.type: spec for spec in EVENTS}
BY_BODY = {spec.body: spec for spec in EVENTS}

DEAD_TYPE = "synthbench.dead.v1"


@dataclass(frozen=True)
class Durable:
    """One consumer of one subject. Its position on the stream is kept by the server under `name`."""

    name: str
    stream: str
    subject: str
    service: Service
    event: EventSpec

    @property
    def from_client(self) -> bool:
        """Whether a client sends what it reads."""
        return self.stream.startswith(client_stream("")) and self.stream != client_stream(OPERATOR)

    @property
    def dead_subject(self) -> str:
        """The subject of its dead letters."""
        return f"dead.{self.stream}.{self.name}"


def client_stream(sender: str) -> str:
    """Name of the stream in which everything lies that a client (or the operator) sent."""
    return f"CLIENT-{sender}"


def check_clients(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of clients, each once.

    Raises:
        ValueError: one is none, or is somebody else's.
    """
    found = tuple(dict.fromkeys(names))
    taken = {OPERATOR, *Service} - {Service.CLIENT}
    for name in found:
        if not _NAME.fullmatch(name) or name in taken:
            raise ValueError(f"{name!r} cannot be a client's name: lower-case letters, digits and -, at most 32")
    return found


def check_pools(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of pools, each once.

    Raises:
        ValueError: one cannot be a token of a subject.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a pool's name: lower-case letters, digits and -, at most 32")
    return found


def declared_pools(served: Iterable[str]) -> tuple[str, ...]:
    """Return every pool that has subjects and durables where executors serve these: the default ones are always there.

    Raises:
        ValueError: one cannot be a token of a subject.
    """
    return check_pools((*DEFAULT_POOLS, *served))


def subject_of(body: Record) -> str:
    """Return the subject on which this event is published.

    Clients publish theirs on it as it is; the server adds their name (`arrives_as`).
    """
    spec = BY_BODY[type(body)]
    match body:
        case events.TaskReady():
            return f"{spec.name}.{body.rollout.pool}.{body.rollout.priority}"
        case events.VerificationRequested():
            return arrives_as(f"{spec.name}.{body.pool}", body.requested_by or OPERATOR)
        case events.TaskRejected():
            return arrives_as(spec.name, body.submitter)
        case _:
            return spec.name


def arrives_as(subject: str, sender: str) -> str:
    """Return the subject under which the services see what a sender published; the operator's has no name."""
    return subject if sender == OPERATOR else f"{subject}.{sender}"


def sender_of(subject: str) -> str:
    """Return who published on this subject of a `by_sender` event: a client's name, a service's, or the operator's.

    It is proven: a client's account maps what it says to subjects with its own name, a service has permission for
    subjects with its own name alone.
    """
    return OPERATOR if any(spec.is_nameless(subject) for spec in EVENTS) else subject.rpartition(".")[2]


def durable(
    service: Service,
    event: str,
    suffix: str = "",
    sender: str = OPERATOR,
    pools: Sequence[str] = DEFAULT_POOLS,
) -> Durable:
    """Return the durable by which `service` reads `event`, e.g. `scheduler-attempt-finished`.

    Of events whose subjects name their sender there is one for each of them, e.g. `scheduler-task-submitted-alice`.

    Raises:
        KeyError: the registry does not declare this service as a consumer of this event.
    """
    spec = BY_NAME[event]
    if service not in spec.consumers or (suffix and suffix not in spec.suffixes(pools)):
        raise KeyError(f"{service} is not declared as a consumer of {event} {suffix}".rstrip())
    subject = f"{event}.{suffix}" if suffix else event
    stream = spec.stream
    if spec.by_sender:
        subject = arrives_as(subject, sender)
        stream = spec.stream if sender in spec.sending_services else None
    return Durable(f"{service}-{subject}".replace(".", "-"), stream or client_stream(sender), subject, service, spec)


def durables_of(
    service: Service, event: str, clients: Sequence[str] = DEFAULT_CLIENTS, pools: Sequence[str] = DEFAULT_POOLS
) -> list[Durable]:
    """Return all durables by which `service` reads `event`: one for each suffix and sender."""
    spec = BY_NAME[event]
    return [
        durable(service, event, suffix, sender, pools)
        for suffix in spec.suffixes(pools) or ("",)
        for sender in spec.senders(clients)
    ]


def durables(clients: Sequence[str] = DEFAULT_CLIENTS, pools: Sequence[str] = DEFAULT_POOLS) -> Iterator[Durable]:
    """All durables of a deployment with these clients and pools."""
    for spec in EVENTS:
        for service in spec.consumers:
            yield from durables_of(service, spec.name, clients, pools)


def spec_for_subject(subject: str) -> EventSpec | None:
    """Return the event that is published on `subject`, None if there is none."""
    return next((spec for spec in EVENTS if spec.carried_by(subject)), None)
