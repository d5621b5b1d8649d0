"""Killed at each step of an attempt: the next attempt goes on from there, and nothing is done or paid for twice.

One rollout for each step: its first attempt dies, with its executor, as soon as that step is in the journal. `make
test-kills` does it after every step (`ENGINE=docker` on that engine); CI after the first, the fifth and the last.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fire import Field
from remains import left_behind
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.trajectories import decode

pytestmark = [pytest.mark.alone, pytest.mark.timeout(280)]

FULL = os.environ.get("FULL") == "1"
TASK, STEPS = "simple-task-001", 10
AFTER = range(STEPS) if FULL else (0, 4, STEPS - 1)


@pytest.fixture(scope="module")
def field(data_folders: Path, make_stack) -> Iterator[Field]:
    failpoints = data_folders / "failpoints-resume"
    failpoints.mkdir()
    stack = make_stack(
        data_folders / f"resume-{time.time_ns()}",
        SYNTHBENCH_FAILPOINTS=str(failpoints), SYNTHBENCH_LEASE_SECONDS="2",
        SYNTHBENCH_PERMITS="1", SYNTHBENCH_RETRY_PAUSE_SECONDS="0.1", SYNTHBENCH_GIVE_UP_SECONDS="10",
    )  # fmt: skip
    stack.run("up", "--replicas", "2")
    made = Field(stack, failpoints)
    yield made
    made.counter.stop()
    made.http.close()
    stack.down()
    assert left_behind(stack.folder) == []


def test_killed_after_each_step(field: Field):
    submission = uuid7()
    rollouts = [derived_id("rollout", submission, sample) for sample in range(len(AFTER))]
    for rollout_id, index in zip(rollouts, AFTER, strict=True):
        (field.failpoints / f"executor.journalled.{rollout_id}.{index}").touch()
    field.publish([{"task": TASK, "route": "sim/expert", "samples": len(AFTER), "submission_id": str(submission)}])
    field.judge(settled=FULL)
    armed = [path.name for path in field.failpoints.iterdir() if ".taken-" not in path.name]
    assert armed == [], "nobody came by there"
    for rollout_id, index in zip(rollouts, AFTER, strict=True):
        first, second = (trajectory(field, rollout_id, attempt) for attempt in (1, 2))
        assert (first.outcome, len(first.steps)) == ("infra_error", index + 1)
        assert (second.outcome, len(second.steps)) == ("solved", STEPS)
        assert (second.context.resumed_attempt, second.context.resumed_from) == (1, index)
        assert "processes that were running in the background" in second.context.lost
        copies = [step.model_copy(update={"copied_from": None}).sealed() for step in second.steps[: index + 1]]
        assert copies == first.steps
        assert all(step.copied_from is None for step in second.steps[index + 1 :])
        calls = [step.model_call.call_id for step in second.steps if step.model_call]
        assert len(set(calls)) == STEPS
        asked = field.rows(f"select call_id, attempt from ledger.calls where rollout_id = '{rollout_id}'")
        assert sorted(attempt for _, attempt in asked) == [1] * (index + 1) + [2] * (STEPS - index - 1)
        assert {call for call, _ in asked} == set(calls)
        assert second.usage.calls == STEPS - index - 1


def trajectory(field: Field, rollout_id, attempt: int) -> Trajectory:
    (row,) = field.rows(
        "select artifact->>'uri' from catalogue.trajectories "
        f"where rollout_id = '{rollout_id}' and attempt = {attempt} and counted = {attempt == 2}"
    )
    digest = row[0].rpartition("/")[2]
    path = field.stack.folder / "artifacts" / "sha256" / digest[:2] / digest
    return decode(path.read_bytes())
