"""Restores the catalogue from the artifact store: from the segments of its changes, and the stored trajectories."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

import orjson

from synthbench.collector.adapters.rebuilding import RebuildStore, UnreadTrajectory
from synthbench.collector.domain.assembly import StepTotals, searched
from synthbench.contracts.naming import artifacts_of
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.segments import read_segment, segment_numbers
from synthbench.storage.trajectories import StoredTrajectory

_KEYS: Mapping[str, Sequence[str]] = {
    "submissions": ("submission_id",),
    "attempts": ("rollout_id", "attempt"),
    "steps_aside": ("rollout_id", "attempt", "index", "digest"),
    "trajectories": ("trajectory_id",),
    "verdicts": ("trajectory_id", "kind"),
    "llm_calls": ("call_id",),
    "held": ("trajectory_id", "holder"),
}
"""The tables whose rows the segments have, each with its key."""
_AT_ONCE = 100
"""Trajectories that are listed at once."""
Progress = dict[str, Any]


class CatalogueRebuild:
    """Reads the newest segments first: a row that is in the tables, or in a newer segment, stays as it is.

    It may run at any time, on a catalogue in use, and again after it was broken off. An object is for one run.

    Args:
        database: the catalogue; its tables are there, empty or not.
        store: the segments and trajectories that it is restored from.
        hot_step_days: steps of older attempts are not restored: their trajectories have them.
    """

    def __init__(self, database: Database, store: ArtifactStore, hot_step_days: float) -> None:
        self._table = RebuildStore(database)
        self._store = store
        self._hot_step_days = hot_step_days
        self._rows = dict.fromkeys(_KEYS, 0)
        self._deleted: set[tuple[str, str]] = set()

    async def run(self) -> AsyncGenerator[Progress]:
        """Restore all; yield progress, and at the end `{"done": true, …}`.

        Raises:
            ArtifactStoreUnavailable, DatabaseUnavailable: as they do; what is done stays.
        """
        segments = await segment_numbers(self._store)
        for done, number in enumerate(reversed(segments), 1):
            await self._segment(number)
            yield {"segments": done, "of": len(segments), "rows": dict(self._rows)}
        if segments:
            await self._table.next_segment_after(segments[-1])
        read, unreadable = 0, list[str]()
        last: UnreadTrajectory | None = None
        while found := await self._table.unread(last, self._hot_step_days, _AT_ONCE):
            last = found[-1]
            for trajectory in found:
                read += 1
                if problem := await self._trajectory(trajectory):
                    unreadable.append(f"trajectory {trajectory.trajectory_id}: {problem}")
            yield {"trajectories": read, "unreadable": len(unreadable)}
        yield {"done": True, "rows": self._rows, "trajectories": read, "unreadable": unreadable[:100]}

    async def _segment(self, number: int) -> None:
        rows: dict[str, list[dict[str, Any]]] = {table: [] for table in _KEYS}
        for change in reversed(await read_segment(self._store, number)):
            if change.table not in _KEYS:  # a later release has no such table
                continue
            key = (change.table, orjson.dumps([change.row[column] for column in _KEYS[change.table]]).decode())
            if change.gone:
                self._deleted.add(key)
            elif key not in self._deleted:
                rows[change.table].append(change.row)
        for table, count in (await self._table.insert_rows(rows)).items():
            self._rows[table] += count

    async def _trajectory(self, trajectory: UnreadTrajectory) -> str:
        """Restore a trajectory's words, names and hot steps; return why it cannot be read, or an empty text."""
        totals, uris = StepTotals(), {trajectory.artifact.uri}
        words, problem = "", ""
        try:
            stored = await StoredTrajectory.open(self._store, trajectory.artifact)
            header = await stored.header()
            uris |= {reference.uri for reference in artifacts_of(header)}
            for chunk in stored.index.chunks:
                steps = await stored.steps(chunk.first, chunk.first + chunk.steps)
                for step in steps:
                    totals.add(step)
                    uris |= {reference.uri for reference in artifacts_of(step)}
                if trajectory.hot:
                    await self._table.insert_steps(trajectory.attempt, steps)
            words = searched(header, totals)
        except (ArtifactNotFound, ArtifactCorrupt) as error:
            problem = str(error)
        await self._table.insert_contents(trajectory, words, uris)
        return problem
