"""From a closed attempt to a stored trajectory: assembled, written, read back, announced once."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from structlog.stdlib import BoundLogger

from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.metrics import BACKGROUND_FAILURES
from synthbench.chassis.outbox import Outbox
from synthbench.chassis.settle import is_outage
from synthbench.chassis.telemetry import span
from synthbench.collector.adapters.rows import trajectory_row
from synthbench.collector.adapters.verdicts import apply_verdict
from synthbench.collector.domain.assembly import Assembly, Tally, assemble, build, searched, summarise
from synthbench.collector.domain.soundness import sound
from synthbench.collector.handlers import SQL, AttemptKey, Closing
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptStarted,
    StepRecorded,
    TrajectoryCurated,
    TrajectoryDone,
    TrajectoryScored,
)
from synthbench.contracts.ids import derived_id, sha256_digest
from synthbench.contracts.journal import journal_prefix
from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import Step
from synthbench.storage.artifacts import ArtifactStore, key_uri
from synthbench.storage.database import Connection, Database
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import MEDIA_TYPE, TrajectoryWriter

_IDLE_SECONDS = 0.5
_TIDY_SECONDS = 15.0
_LATE_SECONDS = 20.0
_AT_ONCE = 32
"""Steps of an attempt in memory."""


class Finaliser:
    """Works off attempts in the state `closing`; several replicas share them by SKIP LOCKED."""

    def __init__(
        self,
        settings: CollectorSettings,
        database: Database,
        store: ArtifactStore,
        outbox: Outbox,
        closing: Closing,
        log: BoundLogger,
    ) -> None:
        self._settings = settings
        self._database = database
        self._store = store
        self._outbox = outbox
        self._closing = closing
        self._log = log
        self._tidied = monotonic()

    async def look(self) -> None:
        """Finalise whatever can be, then wait until something may have become complete."""
        self._closing.wake.clear()
        await self.sweep()
        if monotonic() - self._tidied > _TIDY_SECONDS:
            self._tidied = monotonic()
            await self.tidy_journals()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._closing.wake.wait()

    async def sweep(self) -> int:
        """Go through all closing attempts once; return how many were stored."""
        stored, waiting = 0, list[AttemptKey]()
        while True:
            outcome = await self._next(waiting)
            if outcome is None:
                self._closing.waiting = set(waiting)
                return stored
            stored += outcome

    async def tidy_journals(self) -> int:
        """Take in what an outlived executor journalled after its attempt was stored; return how many steps.

        They are kept aside, and then their journal goes, too; not while another attempt may resume from it.
        """
        late: dict[AttemptKey, list[str]] = {}
        async for key in self._store.list("journal/"):
            rollout_id, attempt = key.split("/")[1:3]
            late.setdefault((UUID(rollout_id), int(attempt)), []).append(key)
        kept = 0
        async with self._database.connection() as connection:
            wanted = {"rollouts": [key[0] for key in late], "attempts": [key[1] for key in late]}
            ages = {"seconds": _LATE_SECONDS, "kept": self._settings.lost_journal_seconds}
            rows = await connection.execute(SQL["stored_long_ago"], {**wanted, **ages})
            stored = await rows.fetchall()
        for row in stored:
            kept += await self._clear(late[row["rollout_id"], row["attempt"]])
        return kept

    async def _clear(self, keys: Sequence[str]) -> int:
        """Keep aside what the catalogue does not know of a journal, then delete it; return how many steps that were."""
        async with self._database.connection() as connection:
            kept = [await self._set_aside(connection, key) for key in keys]
        for key in keys:
            await self._store.delete(key_uri(key))
        return sum(kept)

    async def _set_aside(self, connection: Connection, key: str) -> bool:
        _, rollout_id, attempt, name = key.split("/")
        if not name.isdigit():
            return False
        data = await self._store.get(key_uri(key))
        scope = {"rollout_id": UUID(rollout_id), "attempt": int(attempt), "index": int(name)}
        step = _journalled(data)
        if step is None:
            row = {
                "digest": sha256_digest(data),
                "body": data.decode("utf-8", errors="replace").replace("\0", "\ufffd"),
            }
            await connection.execute(SQL["set_aside"], {**scope, **row, "reason": "journalled, and cannot be read"})
            return True
        there = await (await connection.execute(SQL["digest_of_step"], scope)).fetchone()
        if there is not None and there["digest"] == step.digest:
            return False
        row = {**scope, "digest": step.digest, "body": step.model_dump_json()}
        await connection.execute(SQL["set_aside"], {**row, "reason": "journalled after the attempt was stored"})
        return True

    async def _next(self, waiting: list[AttemptKey]) -> bool | None:
        """Take one closing attempt that is not known to wait; True if stored, None if there is none.

        One whose artifacts read wrong, or that fails in any other way, waits for better times, too: it is said, and
        does not hold up the others.
        """
        taken: list[AttemptKey] = []
        try:
            async with self._database.connection() as connection:
                skipped = {"skip_rollouts": [key[0] for key in waiting], "skip_attempts": [key[1] for key in waiting]}
                row = await (await connection.execute(SQL["take_closing"], skipped)).fetchone()
                if row is None:
                    return None
                taken.append((row["rollout_id"], row["attempt"]))
                stored = await self._finalise(connection, row)
        except Exception as error:
            if is_outage(error) or not taken:
                raise
            BACKGROUND_FAILURES.labels("finaliser").inc()
            defect = None if isinstance(error, ArtifactCorrupt | ArtifactNotFound) else error
            self._log.error("attempt waits", attempt="/".join(map(str, taken[0])), error=str(error), exc_info=defect)
            stored = False
        if not stored:
            waiting += taken
            return False
        failpoint("collector.recorded")
        await self._let_go(*taken[0])
        return True

    async def _finalise(self, connection: Connection, row: Mapping[str, Any]) -> bool:
        """False if it is too early."""
        closed = AttemptClosed.model_validate_json(row["closed"])
        found = await self._assemble(connection, closed, row["created_at"], row["waited"])
        if found is None:
            return False
        started = AttemptStarted.model_validate_json(row["started"]) if row["started"] else None
        with span("store trajectory", parent=row["trace"] or None):
            await self._record(connection, closed, started, row["created_at"], *found)
        return True

    async def _assemble(
        self, connection: Connection, closed: AttemptClosed, created_at: datetime, waited: float
    ) -> tuple[Assembly, Mapping[int, Step]] | None:
        """Which steps there are, and those that only the journal has; None if it is too early to look into that."""
        scope = {"attempt_at": created_at, "rollout_id": closed.rollout_id, "attempt": closed.attempt}
        rows = await (await connection.execute(SQL["digests_of"], scope)).fetchall()
        there = {row["index"]: row["digest"] for row in rows}
        expected = closed.report.step_digests if closed.report else None
        assembly = assemble(there, expected)
        if assembly.complete and expected is not None:
            return assembly, {}
        if waited < self._settings.journal_after_seconds:
            return None
        journal = await self._from_journal(connection, closed, there.keys())
        assembly = assemble({**{index: step.digest for index, step in journal.items()}, **there}, expected)
        if assembly.complete or waited > self._settings.give_up_seconds:
            return assembly, journal
        return None

    async def _from_journal(
        self, connection: Connection, closed: AttemptClosed, known: Collection[int]
    ) -> dict[int, Step]:
        """Steps that the tables do not have; entries that cannot be read are kept aside."""
        found: dict[int, Step] = {}
        prefix = journal_prefix(closed.rollout_id, closed.attempt)
        async for key in self._store.list(prefix):
            number = key.removeprefix(prefix)
            if number.isdigit() and int(number) not in known:
                step = _journalled(await self._store.get(key_uri(key)))
                if step is None:
                    await self._set_aside(connection, key)
                else:
                    found[step.index] = step
        return found

    async def _steps(
        self,
        connection: Connection,
        closed: AttemptClosed,
        created_at: datetime,
        count: int,
        journal: Mapping[int, Step],
    ) -> AsyncGenerator[tuple[bytes, Step]]:
        """The first steps in order, each as it is stored and as it reads, a few at a time in memory."""
        scope = {"attempt_at": created_at, "rollout_id": closed.rollout_id, "attempt": closed.attempt}
        for start in range(0, count, _AT_ONCE):
            end = min(start + _AT_ONCE, count)
            rows = await connection.execute(SQL["steps_between"], {**scope, "start": start, "stop": end})
            bodies = {row["index"]: row["body"] for row in await rows.fetchall()}
            for index in range(start, end):
                text = bodies[index].encode() if index in bodies else journal[index].to_json()
                yield text, Step.model_validate_json(text)

    async def _patch(self, closed: AttemptClosed) -> str:
        reference = closed.report.patch if closed.report else None
        if reference is None:
            return ""
        try:
            return (await self._store.get(reference.uri)).decode("utf-8", errors="replace")
        except ArtifactNotFound:
            return ""

    async def _record(
        self,
        connection: Connection,
        closed: AttemptClosed,
        started: AttemptStarted | None,
        created_at: datetime,
        assembly: Assembly,
        journal: Mapping[int, Step],
    ) -> None:
        """Store, read back, and put the row and the event into one transaction."""
        writer, tally, names = TrajectoryWriter(), Tally(), set[str]()
        async for text, step in self._steps(connection, closed, created_at, assembly.count, journal):
            writer.add(text)
            tally.take(step)
            names |= {reference.uri for reference in artifacts_of(step)}
            if step.index in journal:  # what the bus did not bring, or will bring too late
                await connection.execute(SQL["insert_step"], _step_row(closed, created_at, step, text))
        trajectory = build(closed, started, assembly, tally, await self._patch(closed))
        artifact = await self._put(writer.finish(trajectory))
        summary = summarise(trajectory, tally)
        row = trajectory_row(trajectory, summary, artifact, counted=closed.counted)
        inserted = await (await connection.execute(SQL["insert_trajectory"], row)).fetchone()
        await connection.execute(SQL["attempt_stored"], {"rollout_id": closed.rollout_id, "attempt": closed.attempt})
        if inserted is None:
            return
        identity = {"trajectory_id": trajectory.trajectory_id}
        await connection.execute(SQL["insert_words"], {**identity, "words": searched(trajectory, tally)})
        names |= {artifact.uri, *(reference.uri for reference in artifacts_of(trajectory))}
        await connection.execute(SQL["insert_names"], {**identity, "uris": sorted(names)})
        await self._apply_early_verdicts(connection, trajectory.trajectory_id)
        if closed.counted:
            done = TrajectoryDone(
                submission_id=closed.submission_id,
                campaign=closed.campaign,
                rollout_id=closed.rollout_id,
                attempt=closed.attempt,
                trajectory_id=trajectory.trajectory_id,
                artifact=artifact,
                summary=summary,
                verification=trajectory.verification,
                diff=trajectory.diff,
                pool=closed.rollout.pool,
            )
            await self._outbox.add(
                connection, done, id=derived_id("trajectory.done", closed.rollout_id, closed.attempt)
            )

    async def _put(self, data: bytes) -> ArtifactRef:
        """Store a trajectory and read it back; one that does not come back as it was is written once more.

        Raises:
            ArtifactCorrupt, ArtifactNotFound: nor does that.
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

    async def _apply_early_verdicts(self, connection: Connection, trajectory_id: UUID) -> None:
        rows = await (await connection.execute(SQL["verdicts_of"], {"trajectory_id": trajectory_id})).fetchall()
        for row in rows:
            model = TrajectoryScored if row["kind"] == "scored" else TrajectoryCurated
            await apply_verdict(connection, SQL, model.model_validate_json(row["body"]))

    async def _let_go(self, rollout_id: UUID, attempt: int) -> None:
        """The stored trajectory was read back: its journal has done its work, unless another attempt may follow.

        With the last attempt go the journals of those before it.
        """
        async with self._database.connection() as connection:
            rows = await connection.execute(SQL["attempts_over"], {"rollout_id": rollout_id})
            over = [row["attempt"] for row in await rows.fetchall()]
        for number in over:
            keys = [key async for key in self._store.list(journal_prefix(rollout_id, number))]
            if number != attempt:
                await self._clear(keys)
                continue
            for key in keys:
                await self._store.delete(key_uri(key))


def _journalled(data: bytes) -> Step | None:
    """The step of a journal's entry; None where it cannot be read, or is not what its digest says."""
    try:
        step = StepRecorded.model_validate_json(data).step
    except ValidationError:
        return None
    return step if sound(step) else None


def _step_row(closed: AttemptClosed, created_at: datetime, step: Step, text: bytes) -> dict[str, Any]:
    return {
        "attempt_at": created_at,
        "rollout_id": closed.rollout_id,
        "attempt": closed.attempt,
        "index": step.index,
        "submission_id": closed.submission_id,
        "digest": step.digest,
        "body": text.decode(),
    }
