"""The outbox (transactional outbox pattern): events leave with the state they announce, or not at all.

`add` writes the encoded event into the caller's transaction; the relay publishes what is committed, with the outbox id
as `Nats-Msg-Id`, and marks it as published. Several replicas may relay at once. The table is made by `outbox.sql`.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
import psycopg.sql
from psycopg.types.json import Jsonb

from synthbench.chassis import metrics
from synthbench.chassis.errors import Transient
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.process import Chassis
from synthbench.chassis.telemetry import current_trace
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import Envelope, Message
from synthbench.contracts.model import Record
from synthbench.contracts.registry import BY_TYPE
from synthbench.contracts.rpc import RepublishReply, RepublishRequest, republish_subject
from synthbench.storage.database import Connection, Database
from synthbench.storage.queries import Queries

_BATCH = 200
_POLL_SECONDS = 1.0
_TIDY_SECONDS = 60.0

_SQL = Queries.load("synthbench.storage", "outbox_queries.sql")
_SETTLED_SECONDS = 600.0


class Outbox:
    """The outbox of one service.

    Args:
        chassis: publishes, logs, and runs the relay.
        database: where the table is.
        gather_seconds: how long the relay waits for company after a commit told of an event. One round of it costs as
            much as some calls of a model gateway do; who waits for an event leaves it at 0.
    """

    def __init__(self, chassis: Chassis, database: Database, *, gather_seconds: float = 0.0) -> None:
        self._gather_seconds = gather_seconds
        self._chassis = chassis
        self._bus = chassis.bus
        self._database = database
        self._channel = f"outbox_{database.schema}"
        self._tidied = time.monotonic()

    @property
    def source(self) -> str:
        """CloudEvents source of this service's events."""
        return self._bus.source

    async def add(
        self,
        connection: Connection,
        body: Record,
        *,
        id: UUID | None = None,  # noqa: A002 - the event's id, as in Bus.publish
        trace: Mapping[str, str] | None = None,
    ) -> UUID:
        """Write an event into the transaction of `connection`; adding the same id again changes nothing."""
        context = current_trace() if trace is None else dict(trace)
        envelope = (
            Envelope(body, self._bus.source, trace=context)
            if id is None
            else Envelope(body, self._bus.source, id, trace=context)
        )
        message = await self._bus.checked(cloudevents.encode(envelope))
        await connection.execute(
            _SQL["add"],
            {
                "id": envelope.id,
                "subject": message.subject,
                "stream": str(envelope.stream),
                "headers": Jsonb(message.headers),
                "payload": message.payload,
            },
        )
        await connection.execute(_SQL["notify"], {"channel": self._channel})
        return envelope.id

    async def add_many(self, connection: Connection, events: Sequence[tuple[Envelope, Message]]) -> None:
        """Write many encoded events at once, in one statement; small ones only (no claim check)."""
        rows = [
            {
                "id": str(envelope.id),
                "subject": message.subject,
                "stream": str(envelope.stream),
                "headers": message.headers,
                "payload": message.payload.decode(),
            }
            for envelope, message in events
        ]
        values = {"events": orjson.dumps(rows).decode(), "channel": self._channel}
        await connection.execute(_SQL["add_many"], values)

    async def again(self, connection: Connection, id: UUID) -> None:  # noqa: A002 - as above
        """Publish an old event once more: somebody asks again what was answered long ago, so the answer was lost.

        A message that is merely delivered twice asks too early, and changes nothing.
        """
        cursor = await connection.execute(_SQL["publish_again"], {"id": id, "seconds": _SETTLED_SECONDS})
        if cursor.rowcount:
            await connection.execute(_SQL["notify"], {"channel": self._channel})

    async def start(self) -> None:
        """Begin to relay; what an earlier process left goes out first."""
        self._bus.on_reconnected(self._republish)
        await self._bus.respond(republish_subject(self._chassis.service), RepublishRequest, self._republish_before)
        self._chassis.flush(self.flush)
        self._chassis.background("outbox", self._listen)

    async def _republish(self, lost_at: datetime) -> None:
        """What was acknowledged within two sync intervals before the server was lost goes out again, under its id."""
        since = lost_at - timedelta(seconds=2 * self._chassis.settings.nats_sync_seconds)
        async with self._database.connection() as connection:
            await connection.execute(_SQL["publish_again_since"], {"since": since})
            await connection.execute(_SQL["notify"], {"channel": self._channel})

    async def _republish_before(self, request: RepublishRequest) -> RepublishReply:
        """Publish events again for an operator who made a lost bus anew."""
        async with self._database.connection() as connection:
            values = {"before": request.before, "limit": request.limit}
            cursor = await connection.execute(_SQL["publish_again_before"], values)
            await connection.execute(_SQL["notify"], {"channel": self._channel})
        return RepublishReply(events=cursor.rowcount)

    async def _listen(self) -> None:
        """Publish at each commit that tells us, and now and then for those that did not."""
        connecting = psycopg.AsyncConnection.connect(
            self._database.dsn.get_secret_value(), autocommit=True, connect_timeout=5
        )
        async with await connecting as listener:
            await listener.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(self._channel)))
            while True:
                await self.publish_all()
                await self._tidy()
                async for _ in listener.notifies(timeout=_POLL_SECONDS, stop_after=1):
                    await asyncio.sleep(self._gather_seconds)

    async def publish_all(self) -> int:
        """Publish everything that is committed; return how many.

        Raises:
            Transient: Postgres or NATS is away; what was published is marked.
        """
        published = 0
        while True:
            count = await self._publish_some()
            published += count
            if count < _BATCH:
                break
        if published == 0:  # woken by the clock: time to look at what others have in hand, too
            await self._count()
        return published

    async def _count(self) -> None:
        async with self._database.connection() as connection:
            row = await (await connection.execute(_SQL["count_unpublished"])).fetchone()
            metrics.OUTBOX_BACKLOG.set(row["backlog"] if row else 0)

    async def _publish_some(self) -> int:
        failure: Transient | None = None
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL["take"], {"limit": _BATCH})).fetchall()
            if not rows:
                return 0
            failpoint(f"outbox.{self._database.schema}.before")
            results = await asyncio.gather(*(self._publish(row) for row in rows), return_exceptions=True)
            done: list[UUID] = []
            for row, result in zip(rows, results, strict=True):
                if result is None:
                    done.append(row["id"])
                elif isinstance(result, Transient):
                    failure = result
                else:
                    raise result
            failpoint(f"outbox.{self._database.schema}.published")
            await connection.execute(_SQL["mark_published"], {"ids": done})
            metrics.OUTBOX_BACKLOG.set(len(rows) - len(done))
        if failure is not None:
            raise failure
        return len(rows)

    async def _publish(self, row: dict[str, Any]) -> None:
        message = Message(row["subject"], row["headers"], bytes(row["payload"]))
        await self._bus.publish_message(message, msg_id=str(row["id"]), stream=row["stream"])
        spec = BY_TYPE.get(row["headers"].get("ce-type", ""))
        metrics.PUBLISHED.labels(spec.name if spec else "unknown").inc()

    async def _tidy(self) -> None:
        if time.monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = time.monotonic()
            async with self._database.connection() as connection:
                await connection.execute(_SQL["delete_old"])

    async def flush(self, seconds: float) -> None:
        """Publish what is left, within `seconds`; the rest goes out at the next start."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.publish_all(), seconds)
