"""Steps are safe before the next one starts: journalled, and stored by the bus, both awaited."""

import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Literal, Protocol
from uuid import UUID

from synthbench.chassis.bus import Bus
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.telemetry import current_trace
from synthbench.contracts.cloudevents import Envelope, Message, encode
from synthbench.contracts.events import StepRecorded
from synthbench.contracts.journal import JournalEvent, journal_event_id, journal_key
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef, KeptFile, Timing, Usage
from synthbench.contracts.steps import Action, ChangedPath, ModelCall, Observation, State, Step
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.shaping import Change
from synthbench.sandbox.diff import Snapshot
from synthbench.sandbox.protocol import Sandbox
from synthbench.storage.artifacts import ArtifactStore

_LONGEST_OUTAGE = 300.0
"""Seconds for which events of before a loss are kept; the journal keeps them longer."""


@dataclass(frozen=True)
class Scope:
    """Which attempt."""

    submission_id: UUID
    campaign: str
    rollout_id: UUID
    attempt: int

    def fields(self) -> dict[str, object]:
        """As events carry it."""
        return {
            "submission_id": self.submission_id,
            "campaign": self.campaign,
            "rollout_id": self.rollout_id,
            "attempt": self.attempt,
        }


@dataclass(frozen=True)
class _Published:
    """An event that the bus has acknowledged, to the byte; packed, for minutes of them are kept in memory."""

    at: datetime
    event_id: UUID
    stream: str
    subject: str
    headers: dict[str, str]
    packed: bytes


class Recent:
    """What was published lately, to be published again when the bus was lost: it acknowledges before it syncs.

    Args:
        bus: tells of its losses.
        seconds: how far before a loss what was acknowledged may be gone.
    """

    def __init__(self, bus: Bus, seconds: float) -> None:
        self._bus = bus
        self._seconds = seconds
        self._events: deque[_Published] = deque()
        bus.on_reconnected(self._again)

    def add(self, event: Record, event_id: UUID) -> None:
        """Remember an event that the bus has acknowledged."""
        now = datetime.now(UTC)
        while self._events and now - self._events[0].at > timedelta(seconds=2 * self._seconds + _LONGEST_OUTAGE):
            self._events.popleft()
        envelope = Envelope(event, self._bus.source, event_id, trace=current_trace())
        message = encode(envelope)
        packed = zlib.compress(message.payload, level=1)
        self._events.append(_Published(now, event_id, envelope.stream, message.subject, message.headers, packed))

    async def _again(self, lost_at: datetime) -> None:
        since = lost_at - timedelta(seconds=2 * self._seconds)
        for one in list(self._events):
            if one.at > since:
                message = await self._bus.checked(Message(one.subject, one.headers, zlib.decompress(one.packed)))
                await self._bus.publish_message(message, msg_id=str(one.event_id), stream=one.stream, timeout=30.0)


class Announcer:
    """Writes an attempt's events to the journal first, then to the bus."""

    def __init__(self, scope: Scope, bus: Bus, store: ArtifactStore, recent: Recent) -> None:
        self.scope = scope
        self._bus = bus
        self._store = store
        self._recent = recent

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        """Store a checkpoint, or what an agent left."""
        return await self._store.put(data, media_type=media_type)

    async def announce(self, event: JournalEvent) -> None:
        """Keep an event, then publish it; a second time changes nothing."""
        await self._store.put_named(journal_key(event), event.to_json())
        failpoint("executor.journalled")
        if isinstance(event, StepRecorded):
            failpoint(f"executor.journalled.{event.rollout_id}.{event.step.index}")
        event_id = journal_event_id(event)
        await self._bus.publish(event, id=event_id, timeout=30.0)
        self._recent.add(event, event_id)
        failpoint("executor.published")


class StepAnnouncer(Protocol):
    """What the recorder needs of an `Announcer`."""

    @property
    def scope(self) -> Scope:
        """Which attempt."""
        ...

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        """See `Announcer`."""
        ...

    async def announce(self, event: JournalEvent) -> None:
        """See `Announcer`."""
        ...


@dataclass(frozen=True)
class Turn:
    """One agent turn as a scaffold hands it over."""

    action: Action
    observations: Sequence[Observation]
    started_at: datetime
    cwd: str = ""
    usage: Usage = Usage()
    timing: Timing = Timing()
    model_call: ModelCall | None = None
    native: str = ""
    kind: Literal["turn", "condensation"] = "turn"
    finish_reason: str = ""
    """Why the model stopped, in OpenAI's words."""


class Recorder:
    """Makes steps of turns, with the state of the workspace after each.

    Args:
        announcer: where steps go.
        sandbox: where the agent works.
        since: its workspace before the first turn.
        clock: counts what is used.
        checkpoints: keep what each step changed, so that work can go on from there.
    """

    def __init__(
        self, announcer: StepAnnouncer, sandbox: Sandbox, since: Snapshot, clock: Clock, *, checkpoints: bool = False
    ) -> None:
        self._announcer = announcer
        self._sandbox = sandbox
        self._last = since
        self._clock = clock
        self._checkpoints = checkpoints
        self.digests: list[str] = []
        self.changes: list[Change] = []
        self.kept: list[KeptFile] = []
        self.finish_reason = ""
        """Why the model stopped at the newest turn."""

    async def keep(self, path: str, data: bytes, media_type: str) -> None:
        """Keep something beside the steps: what an agent printed, or wrote down itself."""
        self.kept.append(KeptFile(path=path, artifact=await self._announcer.keep(data, media_type)))

    async def take_over(self, step: Step) -> None:
        """Make a step that was done before the next one of this attempt; it is safe when this returns."""
        await self._announce(step.sealed())
        self._clock.carry(step.usage, step.timing)

    async def record(self, turn: Turn) -> Step:
        """Seal, journal and publish one step; return it when it is safe."""
        began = monotonic()
        self.finish_reason = turn.finish_reason
        diff, self._last = await self._sandbox.step(self._last)
        keeps = self._checkpoints and bool(diff.changes)
        codes = [observation.exit_code for observation in turn.observations if observation.exit_code is not None]
        step = Step(
            index=len(self.digests),
            kind=turn.kind,
            started_at=turn.started_at,
            finished_at=datetime.now(UTC),
            action=turn.action,
            observations=list(turn.observations),
            state=State(
                cwd=turn.cwd or self._sandbox.workdir,
                exit_code=codes[-1] if codes else None,
                changed=[
                    ChangedPath(path=c.path, kind=c.kind, type=c.type, digest=c.digest, size=c.size)
                    for c in diff.changes
                ],
                patch=diff.patch,
                checkpoint=await self._announcer.keep(diff.archive) if keeps else None,
                left_out=dict(diff.refused) if self._checkpoints else {},
            ),
            usage=turn.usage,
            timing=turn.timing,
            model_call=turn.model_call,
            native=turn.native,
        ).sealed()
        await self._announce(step)
        waited = turn.timing.waited_seconds + monotonic() - began
        self._clock.add(turn.usage, turn.timing.model_copy(update={"waited_seconds": waited}))
        return step

    async def _announce(self, step: Step) -> None:
        event = StepRecorded.model_validate({**self._announcer.scope.fields(), "step": step})
        await self._announcer.announce(event)
        self.digests.append(step.digest)
        if change := Change.of(step):
            self.changes.append(change)
