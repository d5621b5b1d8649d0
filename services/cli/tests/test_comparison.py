"""Shares, means, intervals."""

from datetime import UTC, datetime
from uuid import uuid4

from synthbench.cli.comparison import HEADINGS, cells, compare, markdown
from synthbench.contracts.steps import Step
from synthbench.contracts.trajectory import Trajectory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made(scaffold: str, task: str, outcome: str, steps: int = 2, *, known: bool = True) -> Trajectory:
    rollout = {
        "rollout_id": uuid4(), "submission_id": uuid4(), "campaign": "c", "scaffold": scaffold, "pool": "process",
        "task": {"name": f"synthbench/{task}", "digest": "sha256:" + "0" * 64},
    }  # fmt: skip
    return Trajectory.model_validate(
        {"trajectory_id": uuid4(), "rollout": rollout, "attempt": 1, "outcome": outcome,
         "steps": [Step(started_at=NOW, finished_at=NOW)] * steps,
         "usage": {"calls": steps, "input_tokens": 90, "output_tokens": 10, "cost_microusd": 500, "cost_known": known},
         "timing": {"model_seconds": 1.0, "tool_seconds": 0.5, "waited_seconds": 9.0}}
    )  # fmt: skip


def test_a_row_for_each_task_and_scaffold_and_one_for_all():
    trajectories = [
        made("native", "a", "solved", 4), made("native", "a", "unsolved", 6), made("native", "b", "infra_error", 1),
        made("oracle", "a", "solved", 1, known=False),
    ]  # fmt: skip
    rows = compare(trajectories, ["native", "oracle"], ["a", "b"])
    assert [(row["task"], row["scaffold"], row["graded"], row["failed"]) for row in rows] == [
        ("a", "native", 2, 0), ("a", "oracle", 1, 0), ("b", "native", 0, 1), ("b", "oracle", 0, 0),
        ("all", "native", 2, 1), ("all", "oracle", 1, 0),
    ]  # fmt: skip
    assert rows[0]["outcomes"] == {"solved": 1, "unsolved": 1}
    assert rows[0]["solved"]["mean"] == 0.5
    assert rows[0]["steps"]["mean"] == 5
    assert rows[0]["tokens"]["mean"] == 100
    assert rows[0]["seconds"]["mean"] == 1.5
    assert rows[2]["solved"] is None
    assert cells(rows[2]) == ["b", "native", "0", "1", *["-"] * 5]
    assert cells(rows[0])[-2:] == ["0.0005", "1.5"]
    assert cells(rows[1])[-2] == "at least 0.0005"
    drawn = markdown("T", rows, ["n"]).splitlines()
    assert drawn[0] == "# T"
    assert drawn[4] == f"| {' | '.join(HEADINGS)} |"
    assert len(drawn) == 6 + len(rows)
