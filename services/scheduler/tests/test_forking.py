"""What can be forked, and what is said of what cannot."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import ForkPoint, Outcome, Rollout, TaskInfo
from synthbench.contracts.steps import ChangedPath, State, Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.scheduler.adapters.parents import Parents
from synthbench.storage.artifacts import FilesStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASK = TaskInfo(name="t", digest="sha256:" + "a" * 64)


def parent(checkpoint: Any = None, **rollout: Any) -> Trajectory:
    changed = [ChangedPath(path="a", kind="added")]
    states = [State(), State(changed=changed, checkpoint=checkpoint), State(), State()]
    return Trajectory(
        trajectory_id=uuid4(), attempt=1, outcome=Outcome.SOLVED,
        rollout=Rollout.model_validate({
            "rollout_id": uuid4(), "submission_id": uuid4(), "campaign": "c", "task": TASK, "scaffold": "native",
            "route": "openai/m", "pool": "bubblewrap", **rollout}),
        steps=[Step(index=i, started_at=NOW, finished_at=NOW, state=state) for i, state in enumerate(states)],
    )  # fmt: skip


def parents(store: FilesStore) -> Parents:
    async def resumable(_wanted: str) -> list[str]:
        return ["native"]

    return Parents(store, resumable)


CASES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    ({}, {"step": 3}, "fork.step", "the trajectory has 4 steps; it can be forked after 0 to 2, counted from 0"),
    ({}, {"step": 99}, "fork.step", "it can be forked after 0 to 2"),
    ({}, {"trajectory_id": uuid4()}, "fork.trajectory_id", "the artifact holds trajectory"),
    ({}, {"artifact": "sha256:" + "9" * 64}, "fork.artifact", "nothing is stored under sha256:9999"),
    ({"task": TASK.model_copy(update={"digest": "sha256:" + "b" * 64})}, {}, "task", "another version of t"),
    ({"scaffold": "oracle", "route": ""}, {}, "scaffold", "was made by oracle"),
    ({"simulated": True, "route": "sim/expert"}, {}, "route", "the trajectory is simulated"),
]


@pytest.mark.parametrize(("rollout", "point", "field", "said"), CASES, ids=[case[3][:30] for case in CASES])
async def test_what_cannot_be_forked_is_refused_field_by_field(
    tmp_path: Path, rollout: dict[str, Any], point: dict[str, Any], field: str, said: str
):
    store = FilesStore(tmp_path)
    made = parent(await store.put(b"archive"), **rollout)
    reference = await store.put(made.to_json())
    fork = ForkPoint(trajectory_id=made.trajectory_id, artifact=reference.digest, step=2)
    wanted = TaskSubmitted(task="t", route="openai/m", fork=fork)
    if not rollout:
        assert await parents(store).problems(wanted, TASK) == []
    wanted = wanted.model_copy(update={"fork": fork.model_copy(update=point)})
    (error,) = await parents(store).problems(wanted, TASK)
    assert error.field == field
    assert said in error.message


async def test_files_that_nobody_kept_cannot_be_forked(tmp_path: Path):
    store = FilesStore(tmp_path)
    checkpoint = await store.put(b"archive")
    for made, said in ((parent(checkpoint), "step 1 is gone"), (parent(None), "step 1 changed files and has no check")):
        await store.delete(checkpoint.uri)
        reference = await store.put(made.to_json())
        for step, fine in ((0, True), (1, False)):
            fork = ForkPoint(trajectory_id=made.trajectory_id, artifact=reference.digest, step=step)
            found = await parents(store).problems(TaskSubmitted(task="t", route="openai/m", fork=fork), TASK)
            assert (found == []) == fine
            assert fine or said in found[0].message


async def test_an_artifact_that_is_no_trajectory_and_a_scaffold_that_starts_over(tmp_path: Path):
    store = FilesStore(tmp_path)
    reference = await store.put(b"not even JSON")
    fork = ForkPoint(trajectory_id=uuid4(), artifact=reference.digest, step=0)
    (error,) = await parents(store).problems(TaskSubmitted(task="t", route="m", fork=fork), TASK)
    assert error.message.endswith("is no trajectory")
    made = parent(scaffold="oracle", route="")
    reference = await store.put(made.to_json())
    fork = ForkPoint(trajectory_id=made.trajectory_id, artifact=reference.digest, step=0)
    (error,) = await parents(store).problems(TaskSubmitted(task="t", scaffold="oracle", fork=fork), TASK)
    assert (error.field, error.message) == ("scaffold", "oracle cannot go on from recorded steps; take native")
