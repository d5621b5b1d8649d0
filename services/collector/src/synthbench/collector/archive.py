"""Writes every change of the catalogue's tables into the artifact store; `CatalogueRebuild` reads them back."""

from time import monotonic

from structlog.stdlib import BoundLogger

from synthbench.collector.adapters.change_log import ChangeLog, LockedChangeLog, LoggedChange
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactConflict
from synthbench.storage.segments import segment_numbers, write_segment

CHANGES_IN_SEGMENT = 5000
"""At most; so many that wait are written without waiting for more."""
LOOK_SECONDS = 1.0
"""Between two looks for changes that wait."""


class CatalogueArchive:
    """Writes the changes that wait into segments; of several replicas one at a time.

    Args:
        database: the catalogue.
        store: where segments go.
        every_seconds: how long changes may wait for company; a full segment does not wait.
        log: of the process.
    """

    def __init__(self, database: Database, store: ArtifactStore, every_seconds: float, log: BoundLogger) -> None:
        self._changes = ChangeLog(database)
        self._store = store
        self._every_seconds = every_seconds
        self.log = log
        self._written = monotonic()

    async def flush_if_due(self) -> None:
        """Write what waits, if it waited long enough or fills a segment."""
        due = monotonic() - self._written > self._every_seconds
        if due or await self._changes.waiting(CHANGES_IN_SEGMENT) >= CHANGES_IN_SEGMENT:
            self._written = monotonic()
            await self.flush()

    async def flush(self) -> int:
        """Write everything that waits now; return the number of changes."""
        total = 0
        async with self._changes.locked() as changes:
            while changes is not None and (waiting := await changes.oldest(CHANGES_IN_SEGMENT)):
                await self._write(changes, waiting)
                total += len(waiting)
        return total

    async def _write(self, changes: LockedChangeLog, waiting: list[LoggedChange]) -> None:
        """Write a segment, then forget its changes: a process that is killed in between writes them once more.

        Of one row an earlier state never comes after a later one: the process that holds the lock numbers the segments.
        """
        rows = [(change.table, change.gone, change.row) for change in waiting]
        while True:
            number = await changes.next_segment()
            try:
                await write_segment(self._store, number, rows)
            except ArtifactConflict:  # of a catalogue that this database does not know: ours goes on behind it
                self.log.warning("the store holds segments of another catalogue", number=number)
                await changes.segments_from((await segment_numbers(self._store))[-1])
            else:
                await changes.forget(waiting)
                return
