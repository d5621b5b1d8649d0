"""Quality on a real Postgres: which verifications it asks for, and when it scores."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Drop
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import TrajectoryDone, VerificationFinished
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef, Outcome, Rollout, TaskInfo
from synthbench.contracts.registry import Service
from synthbench.contracts.trajectory import Trajectory, TrajectorySummary
from synthbench.contracts.verification import TestResult, TestStatus, VerificationResult
from synthbench.quality.adapters.installed_checks import load_checks
from synthbench.quality.adapters.store import QualityStore, QualityTransaction
from synthbench.quality.domain.policy import QualityPolicy
from synthbench.quality.handlers import QualityHandlers
from synthbench.quality.settings import QualitySettings
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

TASK = TaskInfo(name="t", digest="sha256:" + "0" * 64)
PASSED = VerificationResult(
    reward=1.0, reward_parts={"fail_to_pass": 1.0, "pass_to_pass": 1.0},
    tests=[TestResult(name="t", status=TestStatus.PASSED)],
)  # fmt: skip


class WatchedStore(QualityStore):
    """Knows whether a transaction is open."""

    is_open = False

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[QualityTransaction]:
        async with super().transaction() as transaction:
            self.is_open = True
            yield transaction
            self.is_open = False


class OutsideOfTransactions(FilesStore):
    """An artifact store that must not be read while a transaction waits."""

    store: WatchedStore

    async def get(self, uri: str) -> bytes:
        assert not self.store.is_open
        return await super().get(uri)


class Quality:
    """Quality's handlers, and the events that they put into the outbox."""

    def __init__(self, chassis, database: Database, folder: Path) -> None:
        self.database = database
        store = WatchedStore(database, Outbox(chassis, database))
        self.artifacts = OutsideOfTransactions(folder)
        self.artifacts.store = store
        self.handlers = QualityHandlers(store, self.artifacts, load_checks(), QualityPolicy(), max_verifications=2)

    async def done(self, verification: VerificationResult) -> TrajectoryDone:
        """Store a trajectory without steps, and announce it."""
        rollout = Rollout(
            rollout_id=uuid4(), submission_id=uuid4(), campaign="c", task=TASK, scaffold="native", pool="bubblewrap"
        )
        trajectory = Trajectory(
            trajectory_id=uuid4(), rollout=rollout, attempt=1, outcome=Outcome.SOLVED, verification=verification
        )
        stored: ArtifactRef = await self.artifacts.put(trajectory.to_json())
        done = TrajectoryDone(
            **rollout.attempt_scope(1).fields, trajectory_id=trajectory.trajectory_id, artifact=stored,
            pool="bubblewrap", summary=TrajectorySummary(
                task_name="t", task_digest=TASK.digest, outcome=Outcome.SOLVED, forgeable=verification.forgeable),
        )  # fmt: skip
        await self.handlers.on_done(delivery(done))
        return done

    async def answer(self, done: TrajectoryDone, request: dict[str, Any], result: VerificationResult) -> None:
        finished = VerificationFinished(
            **done.attempt_scope.fields, verification_id=request["verification_id"], requested_by="quality",
            executor="e", result=result,
        )  # fmt: skip
        await self.handlers.on_verified(delivery(finished))

    async def announced(self) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            query = b"select convert_from(payload, 'UTF8') as body from outbox order by seq"
            return [json.loads(row["body"]) for row in await (await connection.execute(query)).fetchall()]


def delivery(event: Record) -> Delivery[Any]:
    return Delivery(Envelope(event, "test"), cast("Any", None), cast("Any", None), b"")


@pytest.fixture
async def quality(make_chassis, migrated, tmp_path):
    database = Database(migrated("quality", "synthbench.quality"), "quality")
    await database.open()
    async with make_chassis(Service.QUALITY, QualitySettings) as chassis:
        yield Quality(chassis, database, tmp_path)
    await database.close()


async def test_a_second_verification_is_requested_and_its_answer_scored_once(quality: Quality):
    done = await quality.done(PASSED)
    (request,) = await quality.announced()
    assert (request["requested_by"], request["attempt"]) == ("quality", 1)
    for _ in range(2):
        await quality.answer(done, request, PASSED)
    (_, scored) = await quality.announced()
    assert {score["check"]: score["score"] for score in scored["scores"]}["correctness"] == 1.0
    assert scored["verdict"] == "reject"  # it has no step


async def test_a_verification_that_fails_by_our_doing_is_requested_again_within_bounds(quality: Quality):
    done = await quality.done(PASSED)
    for number in (1, 2):
        requests = await quality.announced()
        assert len(requests) == number
        await quality.answer(done, requests[-1], VerificationResult(error="no sandbox"))
    scored = (await quality.announced())[-1]
    assert scored["verdict"] == "review"


async def test_a_trajectory_that_was_verified_in_place_is_scored_at_once(quality: Quality):
    await quality.done(VerificationResult(reward=1.0, forgeable=True, in_place=True))
    (scored,) = await quality.announced()
    assert scored["verdict"] == "review"


async def test_an_answer_that_nobody_asked_for_is_dropped(quality: Quality):
    done = await quality.done(PASSED)
    with pytest.raises(Drop, match="was not asked for here"):
        await quality.answer(done, {"verification_id": uuid4()}, PASSED)
