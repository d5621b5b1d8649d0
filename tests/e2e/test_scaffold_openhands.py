"""The real OpenHands agent server in a real stack: it solves tasks, it fails one, and every model call is recorded."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthbench.contracts.trajectory import Trajectory
from synthbench.executor.agents.interpreters import find_python

from .test_upstream import KEY, upstream

pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(900),
    pytest.mark.skipif(find_python((3, 12)) is None, reason="OpenHands needs Python 3.12 or newer; there is none here"),
]


@pytest.fixture(scope="module")
def agents() -> Iterator[Path]:
    """Where it is installed, or will be."""
    if named := os.environ.get("SYNTHBENCH_TEST_AGENTS"):
        yield Path(named)
        return
    with tempfile.TemporaryDirectory(prefix="synthbench-agents-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def stack(agents: Path, data_folders: Path, make_stack):
    made = make_stack(data_folders / "openhands", SYNTHBENCH_AGENTS_ROOT=str(agents))
    made.run("scaffolds", "install", "openhands", timeout=800)
    made.run("up")
    yield made
    made.down()


def generate(stack, task: str, model: str) -> tuple[dict, Trajectory]:
    """Run it on one task, and compare the record with what the gateway counted meanwhile."""
    before = counted(stack)
    done = stack.run("generate-trajectory", "--task", task, "--scaffold", "openhands", "--model", model, "--json",
                     timeout=400, check=False)  # fmt: skip
    row = json.loads(done.stdout)[0]
    trajectory = Trajectory.model_validate_json(Path(row["location"]).read_bytes())
    asked = [step.model_call for step in trajectory.steps if step.model_call]
    assert len(asked) == len({call.call_id for call in asked}) == counted(stack) - before > 0
    return row, trajectory


def counted(stack) -> int:
    """Model calls that the gateway wrote down."""
    return sum(row["tries"] for row in stack.json("cost"))


@pytest.mark.parametrize("task", ["simple-task-001", "log-analyzer-003", "ttl-cache-004"])
def test_the_expert_solves(stack, task: str):
    row, trajectory = generate(stack, task, "sim/expert")
    assert (row["outcome"], row["reward"]) == ("solved", 1.0), row
    assert {call.name for step in trajectory.steps for call in step.action.tool_calls} >= {"terminal", "finish"}
    for step in trajectory.steps:
        assert "ActionEvent" in {event["kind"] for event in json.loads(step.native)}
    assert {kept.path for kept in trajectory.kept} >= {"agent/events.jsonl", "agent/server.log", "agent/stdout.txt"}


def test_one_that_stops_is_seen_to_give_up(stack):
    row, trajectory = generate(stack, "simple-task-001", "sim/quitter")
    assert row["outcome"] == "gave_up"
    assert "calls no tool" in trajectory.detail


def test_wrong_work_is_unsolved(stack):
    row, _ = generate(stack, "simple-task-001", "sim/cheater")
    assert (row["outcome"], row["reward"]) == ("unsolved", 0.0)


@pytest.mark.parametrize(
    ("mode", "detail"), [("nonsense", "calls no tool"), ("bad_json", "stuck in a loop")], ids=["talks", "no JSON"]
)
def test_a_model_that_makes_no_sense(stack, data_folders: Path, make_stack, tmp_path: Path, mode: str, detail: str):
    made = make_stack(data_folders / f"openhands-{mode}", MY_KEY=KEY, **agents_of(stack))
    try:
        with upstream(tmp_path, mode) as url:
            done = made.run(
                "generate-trajectory", "--task", "simple-task-001", "--scaffold", "openhands", "--json",
                "--base-url", url, "--api-key-env", "MY_KEY", "--model", "gpt-4o-mini", timeout=400, check=False,
            )  # fmt: skip
    finally:
        made.down()
    row = json.loads(done.stdout)[0]
    trajectory = Trajectory.model_validate_json(Path(row["location"]).read_bytes())
    assert row["outcome"] == "gave_up"
    assert detail in trajectory.detail
    assert trajectory.usage.calls == len(trajectory.steps)


def agents_of(stack) -> dict[str, str]:
    """Where the module's stack has its agents."""
    return {"SYNTHBENCH_AGENTS_ROOT": stack.env["SYNTHBENCH_AGENTS_ROOT"]}
