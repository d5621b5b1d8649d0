"""Reward parts under other weights."""

from uuid import uuid4

import pytest

from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.contracts.rewards import Rewards, StepRewards, weighed
from synthbench.contracts.trajectory import Trajectory
from synthbench.operations.rescoring import rescored

MEASURED = weighed(
    Rewards(
        parts={"terminal": 1.0, "partial": 1.0},
        steps=[StepRewards(index=2, parts={"progress": 0.5})],
        missing={"lint": "a.py has more than 256 KiB"},
    ),
    {"terminal": 1.0, "progress": 0.0, "lint": 0.0},
)


def trajectory(rewards: Rewards | None) -> Trajectory:
    task = TaskInfo(name="own/task-1", digest="sha256:" + "0" * 64)
    rollout = Rollout(
        rollout_id=uuid4(),
        submission_id=uuid4(),
        campaign="c",
        task=task,
        scaffold="native",
        route="m",
        pool="bubblewrap",
    )
    return Trajectory(
        trajectory_id=uuid4(), rollout=rollout, attempt=1, outcome=Outcome.SOLVED, reward=1.0, rewards=rewards
    )


def test_it_is_derived_from_what_is_stored():
    row = rescored(trajectory(MEASURED), {"terminal": 2.0, "progress": 3.0})
    assert (row["task"], row["before"], row["now"], row["missing"]) == ("task-1", 1.0, pytest.approx(3.5), {})


def test_what_was_not_measured_is_named():
    row = rescored(trajectory(MEASURED), {"terminal": 1.0, "regression": 1.0, "lint": 1.0})
    assert row["now"] == 1.0
    assert row["missing"] == {"regression": "not measured", "lint": "a.py has more than 256 KiB"}


def test_a_record_of_before_has_no_parts_to_weigh():
    row = rescored(trajectory(None), {"terminal": 1.0})
    assert (row["before"], row["now"]) == (1.0, None)
    assert row["missing"] == {"terminal": "not measured"}
