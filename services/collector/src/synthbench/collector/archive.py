"""Writes every change of the catalogue's tables into the artifact store; `rebuild` makes them again from there."""

from time import monotonic

from structlog.stdlib import BoundLogger

from synthbench.collector.handlers import SQL
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactConflict
from synthbench.storage.segments import segment_numbers, write_segment

ROWS = 5000
"""Of changes in a segment, at most."""
LOOK_SECONDS = 1.0
"""Between two looks for changes that wait."""


class Archive:
    """Writes what waits; of several replicas one at a time.

    Args:
        database: the catalogue.
        store: where segments go.
        every_seconds: how long changes may wait for company; a full segment does not wait.
        log: of the process.
    """

    def __init__(self, database: Database, store: ArtifactStore, every_seconds: float, log: BoundLogger) -> None:
        self._database = database
        self._store = store
        self._every_seconds = every_seconds
        self.log = log
        self._written = monotonic()

    async def look(self) -> None:
        """Write what waits, where it waited long enough or is much. What waits at the end a last `flush` writes."""
        if monotonic() - self._written > self._every_seconds or await self._waiting() >= ROWS:
            self._written = monotonic()
            await self.flush()

    async def flush(self) -> int:
        """Write everything that waits now; return how many changes that were."""
        total = 0
        while count := await self._segment():
            total += count
        return total

    async def _waiting(self) -> int:
        async with self._database.connection() as connection:
            row = await (await connection.execute(SQL["changes_waiting"], {"most": ROWS})).fetchone()
        return row["waiting"] if row else 0

    async def _segment(self) -> int:
        """The rows go when the segment is there: one that was killed in between writes them once more, which is fine.

        Of one row an earlier state never comes behind a later one: segments are numbered by whoever holds the lock.
        """
        async with self._database.connection() as connection:
            mine = await (await connection.execute(SQL["archive_lock"])).fetchone()
            if mine is None or not mine["mine"]:
                return 0
            rows = await (await connection.execute(SQL["take_changes"], {"most": ROWS})).fetchall()
            if not rows:
                return 0
            rows.sort(key=lambda row: row["seq"])
            while True:
                numbered = await (await connection.execute(SQL["next_segment"])).fetchone()
                assert numbered is not None
                try:
                    changes = [(row["tbl"], row["gone"], row["body"]) for row in rows]
                    await write_segment(self._store, numbered["number"], changes)
                except ArtifactConflict:  # of a catalogue that this database does not know: ours goes on behind it
                    self.log.warning("the store holds segments of another catalogue", number=numbered["number"])
                    last = (await segment_numbers(self._store))[-1]
                    await connection.execute(SQL["segments_from"], {"number": last})
                else:
                    return len(rows)
