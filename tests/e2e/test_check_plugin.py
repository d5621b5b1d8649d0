"""A check in a package of its own is installed, found by its entry point, and changes a verdict."""

import time
from pathlib import Path

import pytest

from plugin_environments import EXAMPLES, PluginEnvironment, install_plugin

pytestmark = pytest.mark.timeout(300)


def test_a_check_of_another_package_rejects_a_solved_trajectory(tmp_path: Path, data_folders: Path, make_stack):
    stack = make_stack(data_folders / f"plugin-{time.time_ns()}")
    plugin = PluginEnvironment(install_plugin(EXAMPLES / "check", tmp_path), stack.env)
    plugin.run("up")
    try:
        task = ["--task", "simple-task-001"]
        [long] = plugin.json("generate-trajectory", *task, "--model", "sim/expert")
        assert (long["outcome"], long["reward"]) == ("solved", 1.0)
        assert long["steps"] > 4
        assert long["verdict"] == "reject", "without this check it is accepted, as test_cold_start.py shows"
        [short] = plugin.json("generate-trajectory", *task, "--scaffold", "oracle")
        assert short["steps"] <= 3
        assert (short["outcome"], short["verdict"]) == ("solved", "accept")
    finally:
        plugin.run("down", "--now", check=False)
