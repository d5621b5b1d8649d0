"""A sandbox engine in a package of its own is installed, gets a pool, and runs attempts and verifications."""

import json
import time
from pathlib import Path

import pytest

from plugin_environments import EXAMPLES, PluginEnvironment, install_plugin
from synthbench.storage.trajectories import decode

pytestmark = pytest.mark.timeout(300)

ABOUT_THE_BUS = (
    "the bus has every stream and consumer",
    "no event waits on the bus",
    "somebody serves each pool in which work waits",
)
"""Findings of the audit; others are about the whole machine, and whatever else runs on it."""


def test_an_engine_of_another_package_runs_attempts_in_a_pool_of_its_own(
    tmp_path: Path, data_folders: Path, make_stack
):
    stack = make_stack(data_folders / f"plugin-{time.time_ns()}", SYNTHBENCH_ENGINES="small")
    plugin = PluginEnvironment(install_plugin(EXAMPLES / "engine", tmp_path), stack.env)
    plugin.run("up")
    try:
        [row] = plugin.json("generate-trajectory", "--task", "simple-task-001", "--model", "sim/expert")
        trajectory = decode(Path(row["location"]).read_bytes())
        assert (row["outcome"], row["verdict"]) == ("solved", "accept")
        assert trajectory.rollout.pool == "small"
        assert trajectory.context.sandbox is not None
        assert trajectory.context.sandbox.engine == "small"
        assert trajectory.verification is not None
        assert trajectory.verification.engines == {"code": "small", "tests": "small"}
        assert stack.status()["pools"] == ["small"]
        audited = json.loads(plugin.run("audit", "--settled", "--json", check=False).stdout)
        held = {finding["invariant"]: finding["held"] for finding in audited}
        assert {name: held[name] for name in ABOUT_THE_BUS} == dict.fromkeys(ABOUT_THE_BUS, True)
    finally:
        plugin.run("down", "--now", check=False)
