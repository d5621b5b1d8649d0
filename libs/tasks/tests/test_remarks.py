"""What the author of a package is told about it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from synthbench.tasks import TaskError, init_package, load_package


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    init_package(tmp_path / "task", "mine/task")
    return tmp_path / "task"


def test_a_run_instruction_that_nobody_carries_out_is_named(folder: Path):
    assert load_package(folder).remarks() == []
    dockerfile = folder / "environment/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN pip install numpy\n")
    (remark,) = load_package(folder).remarks()
    assert remark.startswith("environment/Dockerfile: 'RUN pip install numpy' is not carried out; runtime = ")


def test_a_dockerfile_that_is_built_needs_no_remark(folder: Path):
    dockerfile = folder / "environment/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + "RUN pip install numpy\n")
    manifest = folder / "task.toml"
    own = '[metadata.synthbench]\nruntime = "dockerfile"\nengines = ["docker"]\n'
    manifest.write_text(manifest.read_text().replace("[metadata.synthbench]\n", own))
    assert load_package(folder).remarks() == []


def test_a_test_file_under_another_name_is_told_how_to_be_called(folder: Path):
    manifest = folder / "task.toml"
    manifest.write_text(manifest.read_text().replace("test_greeting.", "leap_test."))
    with pytest.raises(TaskError, match=r"there is no tests/leap_test\.py"):
        load_package(folder)
    (folder / "tests/test_greeting.py").rename(folder / "tests/leap_test.py")
    with pytest.raises(TaskError, match=r"hidden tests are files tests/test_\*\.py: rename tests/leap_test\.py"):
        load_package(folder)


@pytest.mark.parametrize(("solved", "reward"), [(True, 1.0), (False, 0.0)])
def test_a_new_packages_tests_run_without_synth_bench_as_plain_harbor_runs_them(
    folder: Path, tmp_path: Path, solved: bool, reward: float
):
    workspace = tmp_path / "workspace"
    shutil.copytree(folder / "environment/workspace", workspace)
    if solved:
        shutil.copytree(folder / "solution/files", workspace, dirs_exist_ok=True)
    told = tmp_path / "reward.txt"
    environment = {"PATH": os.environ["PATH"], "REWARD_FILE": str(told)}
    subprocess.run(["sh", folder / "tests/test.sh"], cwd=workspace, env=environment, check=False, timeout=60)
    assert float(told.read_text()) == reward
