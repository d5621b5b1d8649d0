"""Scaffolds side by side, as a user asks for it."""

import json
import os
from pathlib import Path

import pytest

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]

SAMPLES = 2 if os.environ.get("FULL") == "1" else 1
TASKS = "simple-task-001,stock-report-002"


def test_scaffolds_on_the_same_tasks(stack, tmp_path: Path):
    wanted = ["compare", "--scaffolds", "native,oracle,nop", "--tasks", TASKS, "--samples", str(SAMPLES), "--format"]
    report = tmp_path / "report.json"
    stack.ask(*wanted, "json", "--output", str(report))
    rows = {(row["task"], row["scaffold"]): row for row in json.loads(report.read_text())["rows"]}
    assert len(rows) == 9
    for scaffold, solved, steps in (("native", 1.0, 5), ("oracle", 1.0, 2), ("nop", 0.0, 1)):
        row = rows["all", scaffold]
        assert (row["graded"], row["failed"], row["solved"]["mean"]) == (2 * SAMPLES, 0, solved)
        assert row["steps"]["mean"] >= steps
        assert 0 <= row["solved"]["low"] <= solved <= row["solved"]["high"] <= 1
    assert rows["all", "native"]["tokens"]["mean"] > 0 == rows["all", "oracle"]["tokens"]["mean"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scaffolds", "natve", "--tasks", "simple-task-001"], "natve"),
        (["--scaffolds", "native", "--tasks", "smple-task-001"], "simple-task-001"),
        (["--scaffolds", "native", "--tasks", "simple-task-001", "--model", "sim/genius"], "sim/genius"),
        (["--scaffolds", " ,", "--tasks", "simple-task-001"], "--scaffolds names nothing"),
        (["--scaffolds", "nop", "--tasks", "simple-task-001", "--scaffold-arg", "x=1"], "SCAFFOLD.NAME=VALUE"),
    ],
)
def test_what_is_not_there_is_one_line(stack, options: list[str], said: str):
    done = stack.ask("compare", *options, "--samples", "1", check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
