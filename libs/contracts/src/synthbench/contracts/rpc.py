"""Requests and replies over core NATS: of executors to the scheduler, of an operator to services. Nobody keeps them."""

from typing import Literal
from uuid import UUID

from pydantic import SecretStr, field_serializer

from synthbench.contracts.model import Record
from synthbench.contracts.numbers import Moment, Real, SmallCount
from synthbench.contracts.records import Rollout
from synthbench.contracts.registry import Service
from synthbench.contracts.text import Line, Name

CLAIM = "scheduler.rpc.claim"
HEARTBEAT = "scheduler.rpc.heartbeat"
RELEASE = "scheduler.rpc.release"
ANNOUNCE = "scheduler.rpc.announce"

OUTBOX_OWNERS = (Service.SCHEDULER, Service.LLM_GATEWAY, Service.COLLECTOR, Service.QUALITY, Service.DIVERSITY)
"""Services with an outbox."""


def republish_subject(service: Service) -> str:
    """Return the subject on which an operator asks a service to publish events of its outbox again."""
    return f"{service}.rpc.republish"


class RepublishRequest(Record):
    """Publish events again that were published before a moment: the bus has lost them. Ask until none is left."""

    before: Moment
    limit: SmallCount
    """Events of one answer, at most."""


class RepublishReply(Record):
    """So many events go out again."""

    events: SmallCount


class ClaimRequest(Record):
    """May I run this rollout?"""

    rollout_id: UUID
    executor: Name
    pool: Name


class ClaimReply(Record):
    """*granted*: run it; *busy*: another attempt's lease lives, ask again after `retry_after`; *gone*: drop it."""

    status: Literal["granted", "busy", "gone"]
    reason: Line = ""
    retry_after: Real = 0.0
    """Seconds."""
    attempt: SmallCount = 0
    rollout: Rollout | None = None
    attempt_key: SecretStr | None = None
    lease_seconds: Real = 0.0
    """The lease runs out when no heartbeat came for so long."""
    deadline: Moment | None = None
    given_back: list[SmallCount] = []
    """Earlier attempts that a draining executor gave back: their end was no failure."""

    @field_serializer("attempt_key", when_used="json")
    def _reveal(self, key: SecretStr | None) -> str | None:
        """Only the wire sees the key; `repr` and logs do not."""
        return key.get_secret_value() if key else None


class Heartbeat(Record):
    """The executor still works on this attempt."""

    rollout_id: UUID
    attempt: SmallCount
    executor: Name
    steps: SmallCount = 0


class Release(Record):
    """The executor is shutting down: its report will follow; run the rollout elsewhere, at once."""

    rollout_id: UUID
    attempt: SmallCount
    executor: Name


class Released(Record):
    """Whether it was still this executor's."""

    released: bool


class HeartbeatReply(Record):
    """*stop*: the lease is lost, or the rollout was cancelled; the executor must not report a graded result."""

    order: Literal["go_on", "stop"]
    reason: Line = ""
    cancelled: bool = False


class ScaffoldOffer(Record):
    """One scaffold that an executor has."""

    name: Name
    resumable: bool
    """Whether it can go on from the recorded steps of another attempt; one that cannot starts over, and never forks."""


class ExecutorAnnouncement(Record):
    """The scaffolds that an executor has; announced when it starts, and again now and then."""

    executor: Name
    scaffolds: list[ScaffoldOffer]


class AnnouncementNoted(Record):
    """The scheduler has noted an announcement."""
