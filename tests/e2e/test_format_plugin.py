"""An export format in a package of its own is installed, found by its entry point, and works like any other."""

import json
from pathlib import Path

import pytest

from plugin_environments import EXAMPLES, PluginEnvironment, install_plugin

from .test_import import mini

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(200)]


def test_an_installed_format_exports_one_trajectory_and_many(stack, tmp_path: Path):
    for number in (1, 2):
        (tmp_path / f"plugin-{number}.traj.json").write_text(json.dumps(mini(f"plugin-{number}")))
    stack.ask("trajectories", "import", str(tmp_path), "--campaign", "format-plugin")
    installed = PluginEnvironment(install_plugin(EXAMPLES / "format", tmp_path), stack.env)

    def exported(*which: str) -> str:
        return installed.run("trajectories", "export", *which, "--format", "prompt-completion").stdout

    rows = [json.loads(line) for line in exported("--filter", "campaign:format-plugin").splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert set(row) == {"prompt", "completion", "tools"}
        assert "assistant" not in {message["role"] for message in row["prompt"]}
        assert row["completion"][0]["role"] == "assistant"
    (one, _) = stack.json("trajectories", "list", "campaign:format-plugin")
    assert json.loads(exported(one["trajectory_id"])) in rows


def test_without_the_package_the_format_is_refused_with_the_names_of_those_there_are(stack):
    done = stack.ask("trajectories", "export", "x", "--format", "prompt-completion", check=False)
    assert done.returncode == 2
    assert 'Choose from: "json", "atif", "messages"' in " ".join(done.stderr.replace("│", "").split())
