"""Who says what to whom: the one declaration from which subjects, streams, durables, permissions and docs follow."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from synthbench.contracts import events
from synthbench.contracts.model import Record
from synthbench.contracts.records import Priority

POOLS = ("bubblewrap", "docker", "process")
"""Names of the ready queues, one for each kind of sandbox engine."""


class Stream(StrEnum):
    """The JetStream streams (DESIGN.md, section 4)."""

    TASKS = "TASKS"
    STEPS = "STEPS"
    EVENTS = "EVENTS"
    DEAD = "DEAD"


class Service(StrEnum):
    """Who connects to the bus; each has its own NATS user. `CLIENT` is the CLI and anyone who submits."""

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
    """One kind of event. `name` is its subject, unless it has `suffixes`."""

    name: str
    body: type[Record]
    stream: Stream
    producers: tuple[Service, ...]
    consumers: tuple[Service, ...] = ()
    suffixes: tuple[str, ...] = field(default=())
    """Further subject tokens, each with a durable of its own (`task.ready.<pool>.<priority>`)."""

    @cached_property
    def type(self) -> str:
        """CloudEvents type."""
        return f"synthbench.{self.name}.v1"

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """Every subject that it is published on."""
        return tuple(f"{self.name}.{suffix}" for suffix in self.suffixes) or (self.name,)


_S = Service
_READY = tuple(f"{pool}.{priority}" for pool in POOLS for priority in Priority)

EVENTS: tuple[EventSpec, ...] = (
    EventSpec("task.submitted", events.TaskSubmitted, Stream.EVENTS, (_S.CLIENT,), (_S.SCHEDULER,)),
    EventSpec("task.accepted", events.TaskAccepted, Stream.EVENTS, (_S.SCHEDULER,), (_S.COLLECTOR,)),
    EventSpec("task.rejected", events.TaskRejected, Stream.EVENTS, (_S.SCHEDULER,)),
    EventSpec("task.ready", events.TaskReady, Stream.TASKS, (_S.SCHEDULER,), (_S.EXECUTOR,), _READY),
    EventSpec("cancel.requested", events.CancelRequested, Stream.EVENTS, (_S.CLIENT,), (_S.SCHEDULER,)),
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
    stream: Stream
    subject: str
    service: Service
    event: EventSpec

    @property
    def dead_subject(self) -> str:
        """Where messages go that it gave up."""
        return f"dead.{self.stream}.{self.name}"


def subject_of(body: Record) -> str:
    """Return the subject on which this event is published."""
    spec = BY_BODY[type(body)]
    if isinstance(body, events.TaskReady):
        return f"{spec.name}.{body.rollout.pool}.{body.rollout.priority}"
    return spec.name


def durable(service: Service, event: str, suffix: str = "") -> Durable:
    """Return the durable by which `service` reads `event`, e.g. `scheduler-task-submitted`.

    Raises:
        KeyError: the registry does not declare this service as a consumer of this event.
    """
    spec = BY_NAME[event]
    if service not in spec.consumers or (suffix and suffix not in spec.suffixes):
        raise KeyError(f"{service} is not declared as a consumer of {event} {suffix}".rstrip())
    subject = f"{event}.{suffix}" if suffix else event
    return Durable(f"{service}-{subject}".replace(".", "-"), spec.stream, subject, service, spec)


def durables() -> Iterator[Durable]:
    """All durables of the system."""
    for spec in EVENTS:
        for service in spec.consumers:
            for suffix in spec.suffixes or ("",):
                yield durable(service, spec.name, suffix)


def spec_for_subject(subject: str) -> EventSpec | None:
    """Return the event that is published on `subject`, None if there is none."""
    if subject in BY_NAME:
        return BY_NAME[subject]
    return next((spec for spec in EVENTS if subject in spec.subjects), None)
