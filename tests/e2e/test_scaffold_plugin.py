"""Scaffolds in packages of their own are installed, found by their entry points, and work like any other."""

import time
from pathlib import Path

import pytest

from plugin_environments import EXAMPLES, PluginEnvironment, install_plugin
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.trajectories import decode

pytestmark = pytest.mark.timeout(300)


def read(row: dict) -> Trajectory:
    return decode(Path(row["location"]).read_bytes())


def test_it_is_a_scaffold_like_any_other(tmp_path: Path, data_folders: Path, make_stack):
    stack = make_stack(data_folders / f"plugin-{time.time_ns()}", SYNTHBENCH_SCAFFOLDS="native,one-shot")
    plugin = PluginEnvironment(install_plugin(EXAMPLES / "scaffold", tmp_path), stack.env)
    [row] = plugin.json("generate-trajectory", "--task", "simple-task-001", "--scaffold", "one-shot")
    trajectory = read(row)
    assert trajectory.rollout.scaffold == "one-shot"
    assert trajectory.context.scaffold_version == "one-shot-1"
    assert (row["outcome"], row["steps"]) == ("unsolved", 1)
    assert trajectory.steps[0].action.message


def test_a_resumable_scaffold_of_another_package_forks(tmp_path: Path, data_folders: Path, make_stack):
    stack = make_stack(data_folders / f"plugin-{time.time_ns()}", SYNTHBENCH_SCAFFOLDS="bash-loop,oracle")
    plugin = PluginEnvironment(install_plugin(EXAMPLES / "resumable_scaffold", tmp_path), stack.env)
    plugin.run("up")
    try:
        words = ["--task", "simple-task-001", "--model", "sim/expert", "--scaffold", "bash-loop"]
        [row] = plugin.json("generate-trajectory", *words)
        parent = read(row)
        assert (row["outcome"], parent.rollout.scaffold) == ("solved", "bash-loop")
        assert len(parent.steps) > 3
        identity = str(parent.trajectory_id)
        [forked] = plugin.json(
            "trajectories", "fork", identity, "--step", "2", "--model", "sim/expert", "--scaffold", "bash-loop"
        )
        branch = read(forked)
        assert branch.rollout.forked_from is not None
        assert (branch.context.resumed_from, branch.context.resumed_attempt) == (2, None)
        kept = [step.model_copy(update={"copied_from": None}).sealed() for step in branch.steps[:3]]
        assert kept == parent.steps[:3]
        assert all(step.copied_from is None for step in branch.steps[3:])
        assert branch.usage.calls == len(branch.steps) - 3
        assert (branch.outcome, branch.patch) == ("solved", parent.patch)
        refused = plugin.run("trajectories", "fork", identity, "--step", "1", "--scaffold", "oracle", check=False)
        assert "oracle cannot go on from recorded steps; take bash-loop" in refused.stderr
    finally:
        plugin.run("down", "--now", check=False)
