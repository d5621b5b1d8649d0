"""The home of all full forms goes on where a part fails, and says at the end which did."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "test_full.sh"


def full(folder: Path, *parts: str, fails: str = "", minutes: str = "0") -> subprocess.CompletedProcess[str]:
    """Run parts with a test runner that only notes how it was called, and fails where it is told to."""
    runner = folder / "runner"
    runner.write_text(
        f'#!/bin/sh\necho "FULL=$FULL $*" | tee -a {folder}/called\n'
        f'[ -n "{fails}" ] || exit 0\ncase "$*" in *{fails}*) exit 1;; esac\n'
    )
    runner.chmod(0o755)
    env = {**os.environ, "PYTEST": str(runner), "FULL_MINUTES": minutes, "TMPDIR": str(folder)}
    return subprocess.run([SCRIPT, *parts], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_a_part_that_fails_keeps_no_other_from_running(tmp_path: Path):
    done = full(tmp_path, "gateway", "chaos", "sandbox", fails="tests/chaos")
    called = (tmp_path / "called").read_text().splitlines()
    assert [line.startswith("FULL=1 ") for line in called] == [True] * 3
    assert "[2/3] chaos begins" in done.stderr
    assert "[3/3] sandbox passed" in done.stderr
    assert done.stderr.count("failed: chaos; logs in") == 1
    assert done.returncode == 1
    (log,) = tmp_path.glob("synth-bench-full-*/chaos.log")
    assert "tests/chaos" in log.read_text()


def test_where_all_pass_it_says_so_and_leaves_nothing(tmp_path: Path):
    done = full(tmp_path, "kills", "agents")
    assert done.returncode == 0
    assert "all passed" in done.stderr
    assert list(tmp_path.glob("synth-bench-full-*")) == []


def test_every_suite_of_property_tests_is_run(tmp_path: Path):
    done = full(tmp_path, "properties", fails="domain/test_patch.py")
    called = (tmp_path / "called").read_text()
    for suite in ("libs/sandbox/tests/tree/test_tracker.py", "libs/contracts/tests/test_text.py"):
        assert called.count(suite) == 1
    assert done.returncode == 1, "one suite failed, and the others ran"
    assert called.count("test_patch.py") == 1


def test_every_long_test_is_in_a_part():
    root, parts = SCRIPT.parents[1], SCRIPT.read_text()
    marked = re.compile(r"^(@|pytestmark = \[?)pytest\.mark\.long\b", re.MULTILINE)
    long = [path for path in root.glob("tests/**/test_*.py") if marked.search(path.read_text())]
    named = [path.relative_to(root) for path in long]
    assert len(named) > 1
    words = set(parts.replace(";", " ").split())
    assert [path for path in named if not {str(path), str(path.parent)} & words] == []


@pytest.mark.parametrize("part", ["everything", "kill"])
def test_an_unknown_part_is_one_line_with_those_that_there_are(tmp_path: Path, part: str):
    done = full(tmp_path, "chaos", part)
    assert done.returncode == 2
    assert done.stderr.startswith(f"full: there is no part {part}; there are: long properties ")
    assert not (tmp_path / "called").exists()
