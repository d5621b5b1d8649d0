"""Announces the events of an attempt: to the journal in the artifact store first, then to the bus.

Both are awaited, so that an event is safe when `EventAnnouncer.announce` returns.
"""

import zlib
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from synthbench.chassis.bus import Bus
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.telemetry import current_trace
from synthbench.contracts.cloudevents import Envelope, Message, encode
from synthbench.contracts.events import StepRecorded
from synthbench.contracts.journal import JournalEvent, journal_event_id, journal_key
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.scope import AttemptScope
from synthbench.storage.artifacts import ArtifactStore

_LONGEST_OUTAGE = 300.0
"""Seconds for which events from before a loss of the bus are remembered; the journal keeps them longer."""
_PUBLISH_SECONDS = 30.0


@dataclass(frozen=True)
class _PublishedEvent:
    """An event that the bus has acknowledged, to the byte; compressed, for minutes of them are kept in memory."""

    at: datetime
    event_id: UUID
    stream: str
    subject: str
    headers: dict[str, str]
    compressed: bytes


class RecentEvents:
    """Events that were published lately; they are published again when the bus was lost.

    NATS acknowledges a message before it syncs it to disk, so what it acknowledged shortly before it died may be gone.

    Args:
        bus: calls back after each reconnect.
        seconds: the sync interval of the server.
    """

    def __init__(self, bus: Bus, seconds: float) -> None:
        self._bus = bus
        self._seconds = seconds
        self._events: deque[_PublishedEvent] = deque()
        bus.on_reconnected(self._publish_again)

    def add(self, envelope: Envelope, message: Message) -> None:
        """Remember an event that the bus has acknowledged.

        Args:
            envelope: the event.
            message: the same, encoded, before the claim check.
        """
        now = datetime.now(UTC)
        while self._events and now - self._events[0].at > timedelta(seconds=2 * self._seconds + _LONGEST_OUTAGE):
            self._events.popleft()
        compressed = zlib.compress(message.payload, level=1)
        self._events.append(
            _PublishedEvent(now, envelope.id, envelope.stream, message.subject, message.headers, compressed)
        )

    async def _publish_again(self, lost_at: datetime) -> None:
        since = lost_at - timedelta(seconds=2 * self._seconds)
        for event in list(self._events):
            if event.at > since:
                message = Message(event.subject, event.headers, zlib.decompress(event.compressed))
                message = await self._bus.checked(message)
                await self._bus.publish_message(
                    message, msg_id=str(event.event_id), stream=event.stream, timeout=_PUBLISH_SECONDS
                )


class EventAnnouncer:
    """Writes the events of one attempt to the journal, then to the bus.

    Args:
        scope: names the attempt.
        bus: where events are published.
        store: has the journal.
        recent: remembers what was published.
    """

    def __init__(self, scope: AttemptScope, bus: Bus, store: ArtifactStore, recent: RecentEvents) -> None:
        self.scope = scope
        self._bus = bus
        self._store = store
        self._recent = recent

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        """Store a checkpoint, or a file that an agent left."""
        return await self._store.put(data, media_type=media_type)

    async def announce(self, event: JournalEvent) -> None:
        """Write an event to the journal, then publish it; it is encoded once, and a second time changes nothing."""
        envelope = Envelope(event, self._bus.source, journal_event_id(event), trace=current_trace())
        message = encode(envelope)
        await self._store.put_named(journal_key(event), message.payload)
        failpoint("executor.journalled")
        if isinstance(event, StepRecorded):
            failpoint(f"executor.journalled.{event.rollout_id}.{event.step.index}")
        await self._bus.publish_encoded(envelope, message, timeout=_PUBLISH_SECONDS)
        self._recent.add(envelope, message)
        failpoint("executor.published")
