"""Settlement: every call is written down before its answer goes out, and many of them in one transaction.

Calls that end while a transaction is under way wait for it together and make up the next: one commit for all of them,
whose price does not grow with the number of callers. When Postgres is away, what is to be written is kept and tried
again until it is there; whoever waits for it gives up after a while, and its call is written down all the same.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import Transient, one_line
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.settle import is_outage
from synthbench.chassis.telemetry import current_trace
from synthbench.contracts.cloudevents import Envelope, encode
from synthbench.contracts.events import LlmCalled
from synthbench.llm_gateway.adapters.sql import SQL
from synthbench.storage.database import Connection, Database

_BATCH = 256
_PAUSE_SECONDS = 0.2
_PATIENCE_SECONDS = 20.0


Charge = tuple[str, UUID]
"""An account, and the replica whose slice of it pays: `NOBODY`'s where nothing was set aside."""
NOBODY = UUID(int=0)


class NotWritten(Transient):
    """The record is away; the call is kept and will be written down."""


@dataclass
class _PendingCall:
    envelope: Envelope
    called: LlmCalled
    charges: Sequence[Charge]
    written: Callable[[], None]
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class CallWriter:
    """Writes calls, what they cost, and their events.

    Args:
        database: of schema `ledger`.
        outbox: for `llm.called`.
        log: says when Postgres is away.
        patience: seconds that a caller waits for its call to be written.
    """

    def __init__(
        self, database: Database, outbox: Outbox, log: BoundLogger, *, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._log = log
        self._patience = patience
        self._waiting: list[_PendingCall] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, called: LlmCalled, charges: Sequence[Charge], written: Callable[[], None]) -> None:
        """Return when the call is in the record.

        Args:
            called: the event.
            charges: accounts that its cost is counted on, each with the replica out of whose slice it is paid.
            written: called once when it is in the record, even when the caller has gone.

        Raises:
            NotWritten: Postgres is away for longer than a caller can wait.
        """
        envelope = Envelope(called, self._outbox.source, called.call_id, trace=current_trace())
        entry = _PendingCall(envelope, called, charges, written)
        self._waiting.append(entry)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        if not entry.done.done():
            done, _ = await asyncio.wait({entry.done}, timeout=self._patience)
            if not done:
                raise NotWritten("Postgres is away: the call was made, and will be written down when it is back")
        entry.done.result()

    async def _write_all(self) -> None:
        doubtful = False
        while self._waiting:
            batch = self._waiting[:_BATCH]
            try:
                await self._transaction(batch, doubtful=doubtful)
            except Exception as error:  # noqa: BLE001 - an outage passes; whatever else is looked at one by one
                if not is_outage(error):
                    await self._one_by_one(batch)
                    continue
                self._log.warning("settlement waits", calls=len(self._waiting), error=one_line(error))
                doubtful = True  # the commit may have been made
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            doubtful = False
            self._written(batch)

    def _written(self, batch: list[_PendingCall]) -> None:
        del self._waiting[: len(batch)]
        for entry in batch:
            entry.written()
            if not entry.done.done():
                entry.done.set_result(None)

    async def _one_by_one(self, batch: list[_PendingCall]) -> None:
        """One of them is not as the record wants it: a defect, which must not take the others along."""
        for entry in batch:
            try:
                await self._transaction([entry], doubtful=True)
            except Exception as error:  # noqa: BLE001 - its caller gets it
                if is_outage(error):
                    return  # it stays, with those after it
                self._log.exception("a call cannot be written down", call=entry.called.to_dict())
                if not entry.done.done():
                    entry.done.set_exception(error)
            self._written([entry])

    async def _transaction(self, batch: list[_PendingCall], *, doubtful: bool) -> None:
        async with self._database.connection() as connection:
            if doubtful:
                batch = await self._missing(connection, batch)
            if not batch:
                return
            async with connection.pipeline():  # one round trip, the commit included
                if costs := _costs(batch):
                    await connection.execute(SQL["count_spend"], {"costs": orjson.dumps(costs).decode()})
                events = [(entry.envelope, encode(entry.envelope)) for entry in batch]
                await self._outbox.add_many(connection, events)
                calls = b"[" + b",".join(message.payload for _, message in events) + b"]"
                await connection.execute(SQL["write_calls"], {"calls": _without_nul(calls).decode()})
                await connection.commit()

    @staticmethod
    async def _missing(connection: Connection, batch: list[_PendingCall]) -> list[_PendingCall]:
        """After a commit whose answer was lost: what is not in the record."""
        ids = [entry.called.call_id for entry in batch]
        rows = await (await connection.execute(SQL["written_already"], {"ids": ids})).fetchall()
        known = {row["call_id"] for row in rows}
        return [entry for entry in batch if entry.called.call_id not in known]

    async def drain(self, seconds: float) -> None:
        """Wait for what is on its way into the record."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=seconds)


def _costs(batch: list[_PendingCall]) -> list[tuple[str, str, int]]:
    """Sum up by account and replica."""
    costs: defaultdict[Charge, int] = defaultdict(int)
    for entry in batch:
        if entry.called.usage.cost_microusd:
            for charge in entry.charges:
                costs[charge] += entry.called.usage.cost_microusd
    return [(scope, str(replica), cost) for (scope, replica), cost in costs.items()]


def _without_nul(text: bytes) -> bytes:
    """Postgres' text holds no NUL, and a provider can put one into a model's name."""
    return text.replace(b"\\u0000", b"\\ufffd") if b"\\u0000" in text else text
