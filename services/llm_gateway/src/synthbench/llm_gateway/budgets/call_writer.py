"""Every call is written before its answer goes out, and many of them in one transaction.

Calls that end while a transaction is under way wait for it together and make up the next: one commit for all of them,
whose price does not grow with the number of callers. When Postgres is away, calls are kept and tried again until it is
back; a caller stops waiting after a while, and its call is written all the same.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import Transient, one_line
from synthbench.chassis.settle import is_outage
from synthbench.contracts.events import LlmCalled
from synthbench.llm_gateway.budgets.call_store import CallStore, Charge, ChargedCall

_BATCH = 256
"""Calls of one transaction at most."""
_PAUSE_SECONDS = 0.2
"""Between two tries while Postgres is away."""
_PATIENCE_SECONDS = 20.0


class NotWritten(Transient):
    """Postgres is away; the call is kept and will be written."""


@dataclass
class _PendingCall:
    call: ChargedCall
    written: Callable[[], None]
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class CallWriter:
    """Writes calls in batches.

    Args:
        store: of calls.
        log: says when Postgres is away.
        patience: seconds that a caller waits for its call to be written.
    """

    def __init__(self, store: CallStore, log: BoundLogger, *, patience: float = _PATIENCE_SECONDS) -> None:
        self._store = store
        self._log = log
        self._patience = patience
        self._waiting: list[_PendingCall] = []
        self._writer: asyncio.Task[None] | None = None

    async def write(self, called: LlmCalled, charges: Sequence[Charge], written: Callable[[], None]) -> None:
        """Return when the call is committed.

        Args:
            called: the event.
            charges: accounts that its cost is counted on, each with the replica out of whose slice it is paid.
            written: called once when it is committed, even when the caller has gone.

        Raises:
            NotWritten: Postgres is away for longer than a caller can wait.
        """
        pending = _PendingCall(self._store.charged(called, charges), written)
        self._waiting.append(pending)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        if not pending.done.done():
            done, _ = await asyncio.wait({pending.done}, timeout=self._patience)
            if not done:
                raise NotWritten("Postgres is away: the call was made, and will be written down when it is back")
        pending.done.result()

    async def _write_all(self) -> None:
        doubtful = False
        while self._waiting:
            batch = self._waiting[:_BATCH]
            try:
                await self._store.write([pending.call for pending in batch], doubtful=doubtful)
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
        for pending in batch:
            pending.written()
            if not pending.done.done():
                pending.done.set_result(None)

    async def _one_by_one(self, batch: list[_PendingCall]) -> None:
        """Write each call alone: one of them is refused by Postgres, which must not take the others along."""
        for pending in batch:
            try:
                await self._store.write([pending.call], doubtful=True)
            except Exception as error:  # noqa: BLE001 - its caller gets it
                if is_outage(error):
                    return  # it stays, with those after it
                self._log.exception("a call cannot be written down", call=pending.call.called.to_dict())
                if not pending.done.done():
                    pending.done.set_exception(error)
            self._written([pending])

    async def drain(self, seconds: float) -> None:
        """Wait at most so many seconds for the calls that are being written."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=seconds)
