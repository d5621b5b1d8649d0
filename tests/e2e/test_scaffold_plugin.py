"""A scaffold in a package of its own is installed, found by its entry point, and works like any other."""

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from synthbench.storage.trajectories import decode

pytestmark = pytest.mark.timeout(300)

PACKAGE = Path(__file__).parents[2] / "docs" / "examples" / "scaffold"


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Of an environment that has ours below it, and the package."""
    uv = Path(sys.executable).with_name("uv")
    environment = tmp_path / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True, timeout=60)
    python = environment / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    below = environment / "lib" / version / "site-packages" / "below.pth"
    below.write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    copy = tmp_path / "package"
    subprocess.run(["cp", "-r", PACKAGE, copy], check=True, timeout=20)
    install = [uv, "pip", "install", "--quiet", "--python", python, "--no-deps", "--no-build-isolation", copy]
    subprocess.run(install, check=True, timeout=100)
    return python


def test_it_is_a_scaffold_like_any_other(python: Path, data_folders: Path, make_stack):
    stack = make_stack(data_folders / f"plugin-{time.time_ns()}", SYNTHBENCH_SCAFFOLDS="native,one-shot")
    words = ["generate-trajectory", "--task", "simple-task-001", "--scaffold", "one-shot", "--json"]
    done = subprocess.run(
        [python, "-m", "synthbench.cli", *words],
        env={**stack.env, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr + stack.last_words()
    [row] = json.loads(done.stdout)
    trajectory = decode(Path(row["location"]).read_bytes())
    assert trajectory.rollout.scaffold == "one-shot"
    assert trajectory.context.scaffold_version == "one-shot-1"
    assert (row["outcome"], row["steps"]) == ("unsolved", 1)
    assert trajectory.steps[0].action.message
