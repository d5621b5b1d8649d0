"""Makes stored trajectories of closed attempts: assembled, written, read back, announced once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from structlog.stdlib import BoundLogger

from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.metrics import BACKGROUND_FAILURES
from synthbench.chassis.settle import is_outage
from synthbench.chassis.telemetry import span
from synthbench.collector.adapters.finalising import ClosedAttempt, FinalisingStore
from synthbench.collector.adapters.trajectories import TrajectoryEntry
from synthbench.collector.domain.assembly import Assembly, StepTotals, assemble, build, searched, summarise
from synthbench.collector.domain.step_batch import AttemptKey
from synthbench.collector.journals import Journals
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.events import AttemptClosed, TrajectoryDone
from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import Step
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import MEDIA_TYPE, TrajectoryWriter

_IDLE_SECONDS = 0.5
"""Between two sweeps, unless something wakes the finaliser."""
_TIDY_SECONDS = 15.0
"""Between two looks for journals that nobody needs."""
_STEPS_IN_MEMORY = 32


@dataclass
class IncompleteAttempts:
    """The closed attempts that the finaliser waits for, shared with the handlers of the same process."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when an attempt was closed, or got a step that it may have waited for."""
    keys: set[AttemptKey] = field(default_factory=set[AttemptKey])
    """Attempts that are closed and could not be stored in the last sweep, mostly because steps are missing."""


class _Assembled(NamedTuple):
    assembly: Assembly
    digests: Mapping[int, str]
    """Digests of the steps in the tables, by index."""
    journalled: Mapping[int, Step]
    """Steps that only the journal has, by index."""


class Finaliser:
    """Stores the trajectories of closed attempts; several replicas share them, each attempt claimed by one at a time.

    No transaction is open while the artifact store is read or written.
    """

    def __init__(
        self,
        settings: CollectorSettings,
        table: FinalisingStore,
        store: ArtifactStore,
        incomplete: IncompleteAttempts,
        log: BoundLogger,
    ) -> None:
        self._settings = settings
        self._table = table
        self._store = store
        self._incomplete = incomplete
        self._log = log
        self._journals = Journals(store, table, settings.lost_journal_seconds)
        self._tidied = monotonic()

    async def run_once(self) -> None:
        """Store whatever can be stored, then wait until something may have become complete."""
        self._incomplete.wake.clear()
        await self.sweep()
        if monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = monotonic()
            await self._journals.tidy()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._incomplete.wake.wait()

    async def sweep(self) -> int:
        """Go through all closed attempts once; return how many were stored."""
        stored, waiting = 0, set[AttemptKey]()
        while True:
            success = await self._next(waiting)
            if success is None:
                self._incomplete.keys = waiting
                return stored
            stored += success

    async def _next(self, waiting: set[AttemptKey]) -> bool | None:
        """Take one closed attempt that is not known to wait; True if stored, None if there is none.

        One whose artifacts read wrong, or that fails in any other way, is logged and waits as well, so that it does not
        hold up the others.
        """
        key: AttemptKey | None = None
        try:
            async with self._table.claim(waiting) as attempt:
                if attempt is None:
                    return None
                key = attempt.key
                stored = await self._finalise(attempt)
        except Exception as error:
            if is_outage(error) or key is None:
                raise
            BACKGROUND_FAILURES.labels("finaliser").inc()
            defect = None if isinstance(error, ArtifactCorrupt | ArtifactNotFound) else error
            self._log.error("attempt waits", attempt="/".join(map(str, key)), error=str(error), exc_info=defect)
            stored = False
        if not stored:
            waiting.add(key)
            return False
        failpoint("collector.recorded")
        await self._journals.release(key)
        return True

    async def _finalise(self, attempt: ClosedAttempt) -> bool:
        """Store one attempt; False if it is too early."""
        assembled = await self._assemble(attempt)
        if assembled is None:
            return False
        with span("store trajectory", parent=attempt.trace):
            return await self._record(attempt, assembled)

    async def _assemble(self, attempt: ClosedAttempt) -> _Assembled | None:
        """Find the steps; None if it is too early to read the journal, or to give up what is missing."""
        digests = await attempt.step_digests()
        report = attempt.closed.report
        expected = report.step_digests if report else None
        assembly = assemble(digests, expected)
        if assembly.complete and expected is not None:
            return _Assembled(assembly, digests, {})
        if attempt.waited_seconds < self._settings.journal_after_seconds:
            return None
        journalled = await self._journals.steps(attempt.key, digests.keys())
        assembly = assemble({**{index: step.digest for index, step in journalled.items()}, **digests}, expected)
        if assembly.complete or attempt.waited_seconds > self._settings.give_up_seconds:
            return _Assembled(assembly, digests, journalled)
        return None

    async def _record(self, attempt: ClosedAttempt, assembled: _Assembled) -> bool:
        """Store the trajectory's file, read it back, and record it; False if a step came in the meantime."""
        writer, totals, uris = TrajectoryWriter(), StepTotals(), set[str]()
        async for text, step in _steps(attempt, assembled):
            writer.add(text)
            totals.add(step)
            uris |= {reference.uri for reference in artifacts_of(step)}
        closed = attempt.closed
        patch = await self._patch(closed)
        trajectory = build(closed, attempt.started, assembled.assembly, totals, patch)
        artifact = await self._put(writer.finish(trajectory))
        uris |= {artifact.uri, *(reference.uri for reference in artifacts_of(trajectory))}
        summary = summarise(trajectory, totals)
        words = searched(trajectory, totals)
        entry = TrajectoryEntry(trajectory, summary, artifact, closed.counted, words, frozenset(uris))
        journalled = [step for index, step in assembled.journalled.items() if index < assembled.assembly.count]
        announcement = _announcement(closed, entry) if closed.counted else None
        return await attempt.record(entry, assembled.digests, journalled, announcement)

    async def _patch(self, closed: AttemptClosed) -> str:
        reference = closed.report.patch if closed.report else None
        if reference is None:
            return ""
        try:
            return (await self._store.get(reference.uri)).decode("utf-8", errors="replace")
        except ArtifactNotFound:
            return ""

    async def _put(self, data: bytes) -> ArtifactRef:
        """Store a trajectory and read it back; one that does not come back as it was is written once more.

        Raises:
            ArtifactCorrupt, ArtifactNotFound: nor does that come back.
        """
        artifact = await self._store.put(data, media_type=MEDIA_TYPE)
        failpoint("collector.stored")
        try:
            await self._store.get(artifact.uri)
        except (ArtifactCorrupt, ArtifactNotFound) as error:
            self._log.warning("a trajectory is written again", error=str(error))
            await self._store.delete(artifact.uri)
            await self._store.put(data, media_type=MEDIA_TYPE)
            await self._store.get(artifact.uri)
        return artifact


async def _steps(attempt: ClosedAttempt, assembled: _Assembled) -> AsyncGenerator[tuple[bytes, Step]]:
    """The trajectory's steps in order, each as JSON and as a record, a few at a time in memory."""
    count = assembled.assembly.count
    for start in range(0, count, _STEPS_IN_MEMORY):
        stop = min(start + _STEPS_IN_MEMORY, count)
        texts = await attempt.step_texts(start, stop)
        for index in range(start, stop):
            text = texts[index].encode() if index in texts else assembled.journalled[index].to_json()
            yield text, Step.model_validate_json(text)


def _announcement(closed: AttemptClosed, entry: TrajectoryEntry) -> TrajectoryDone:
    trajectory = entry.trajectory
    return TrajectoryDone(
        **closed.attempt_scope.fields,
        trajectory_id=trajectory.trajectory_id,
        artifact=entry.artifact,
        summary=entry.summary,
        verification=trajectory.verification,
        diff=trajectory.diff,
        pool=closed.rollout.pool,
    )
