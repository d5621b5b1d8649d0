"""The real mini-swe-agent along the whole road: installed by one command, it solves tasks, and fails visibly."""

import json
from pathlib import Path

import pytest

from synthbench.contracts.trajectory import Trajectory

pytestmark = pytest.mark.timeout(600)

TASKS = ["simple-task-001", "stock-report-002", "log-analyzer-003"]
MINI = "mini-swe-agent"


def trajectory_of(stack, task: str, model: str, *more: str) -> tuple[dict, Trajectory]:
    rows = stack.run(
        "generate-trajectory", "--task", task, "--scaffold", MINI, "--model", model, "--json", *more, timeout=300
    ).stdout
    row = json.loads(rows)[0]
    return row, Trajectory.model_validate_json(Path(row["location"]).read_bytes())


@pytest.mark.agents
def test_it_solves_three_tasks_and_every_call_is_in_the_record(stack):
    installed = stack.run("scaffolds", "install", MINI, timeout=400).stdout.strip()
    assert Path(installed) == stack.folder / "agents" / MINI
    assert stack.run("scaffolds", "install", MINI).stdout.strip() == installed  # and then it is there
    calls = 0
    for task in TASKS:
        row, trajectory = trajectory_of(stack, task, "sim/expert")
        assert (row["outcome"], row["reward"]) == ("solved", 1.0)
        assert row["steps"] >= 4
        assert trajectory.usage.calls == len(trajectory.steps)
        assert all(step.model_call and step.model_call.call_id and step.native for step in trajectory.steps)
        assert {kept.path for kept in trajectory.kept} >= {"agent/run.traj.json", "agent/stdout.txt"}
        calls += len(trajectory.steps)
    # What the simulated model said last was its hand-in; a model that only talks is told so three times.
    row, trajectory = trajectory_of(stack, TASKS[0], "sim/quitter")
    assert row["outcome"] == "agent_error"
    assert "RepeatedFormatError" in trajectory.detail
    seen = {cost["name"]: cost["tries"] for cost in stack.json("cost", "--by", "model")}
    assert seen["sim/expert"] == calls
    assert seen["sim/quitter"] == len(trajectory.steps)


def test_where_it_cannot_be_installed_one_line_says_why(stack):
    done = stack.run("scaffolds", "install", "no-such-agent", check=False)
    assert done.returncode == 2
    assert "there are mini-swe-agent" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_examples_agent_solves_a_task_as_well(stack):
    agent = (Path(__file__).parents[2] / "docs/examples/agents/loop.py").read_text()
    arguments = ["--scaffold-arg", f"env.AGENT={agent}", "--scaffold-arg", 'command=exec python3 -c "$AGENT"']
    row = json.loads(
        stack.run(
            "generate-trajectory", "--task", TASKS[0], "--scaffold", "command", "--model", "sim/expert", "--json",
            *arguments,
        ).stdout
    )[0]  # fmt: skip
    assert (row["outcome"], row["reward"], row["verdict"]) == ("solved", 1.0, "accept")
    done = stack.run("generate-trajectory", "--task", TASKS[0], "--scaffold-arg", "nothing", check=False)
    assert "wants NAME=VALUE" in done.stderr
