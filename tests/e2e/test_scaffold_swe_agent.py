"""The real SWE-agent in a real stack: it solves tasks, it fails one, and every model call is recorded.

It is on no package index: SYNTHBENCH_TEST_SWE_AGENT names a checkout of it.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthbench.contracts.trajectory import Trajectory

CHECKOUT = os.environ.get("SYNTHBENCH_TEST_SWE_AGENT", "")

pytestmark = [
    pytest.mark.agents,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not CHECKOUT, reason="SYNTHBENCH_TEST_SWE_AGENT names no checkout of SWE-agent"),
]


@pytest.fixture(scope="module")
def agents() -> Iterator[Path]:
    """Where it will be installed."""
    with tempfile.TemporaryDirectory(prefix="synthbench-agents-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def stack(agents: Path, data_folders: Path, make_stack):
    made = make_stack(data_folders / "swe-agent", SYNTHBENCH_AGENTS_ROOT=str(agents))
    made.run("scaffolds", "install", "swe-agent", "--checkout", CHECKOUT, timeout=800)
    made.run("up")
    yield made
    made.down()


def counted(stack) -> int:
    """Model calls that the gateway wrote down."""
    return sum(row["tries"] for row in stack.json("cost"))


def generate(stack, task: str, model: str, *more: str) -> tuple[dict, Trajectory]:
    """Run it on one task, and compare the record with what the gateway counted meanwhile."""
    before = counted(stack)
    done = stack.run("generate-trajectory", "--task", task, "--scaffold", "swe-agent", "--model", model, "--json",
                     *more, timeout=400, check=False)  # fmt: skip
    row = json.loads(done.stdout)[0]
    trajectory = Trajectory.model_validate_json(Path(row["location"]).read_bytes())
    asked = [step.model_call for step in trajectory.steps if step.model_call]
    assert len(asked) == len({call.call_id for call in asked}) == counted(stack) - before > 0
    return row, trajectory


@pytest.mark.parametrize("task", ["simple-task-001", "log-analyzer-003", "ttl-cache-004"])
def test_the_expert_solves(stack, task: str):
    row, trajectory = generate(stack, task, "sim/expert")
    assert (row["outcome"], row["reward"]) == ("solved", 1.0), trajectory.detail
    assert {call.name for step in trajectory.steps for call in step.action.tool_calls} >= {"bash", "submit"}
    assert all(json.loads(step.native)[0]["action"] for step in trajectory.steps)
    assert {kept.path for kept in trajectory.kept} >= {"agent/run.traj", "agent/stdout.txt"}


def test_the_expert_solves_by_text(stack):
    row, trajectory = generate(stack, "simple-task-001", "sim/expert", "--scaffold-arg", "mode=text")
    assert (row["outcome"], row["reward"]) == ("solved", 1.0), trajectory.detail
    assert not any(step.action.tool_calls for step in trajectory.steps)


def test_one_that_stops_is_seen_to_fail(stack):
    row, trajectory = generate(stack, "simple-task-001", "sim/quitter")
    assert row["outcome"] == "agent_error"
    assert "exit_format" in trajectory.detail
