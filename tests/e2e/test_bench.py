"""Every bench runs, in its small form (`make test-full PARTS=benches`). What it measures is for `make bench`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem.removeprefix("bench_") for path in (ROOT / "tests/bench").glob("bench_*.py"))


@pytest.fixture(scope="module")
def lines() -> dict[str, dict]:
    """The last line of each, by name; all run in one process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        cwd=ROOT, env={**os.environ, "QUICK": "1"}, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"bench": ')]
    return {line["bench"]: line for line in told}


@pytest.mark.long
@pytest.mark.timeout(520)
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_ends_with_its_line(lines: dict[str, dict], name: str):
    line = lines[name]
    assert line["targets"]
    assert all(set(judged) == {"value", "target", "met"} for judged in line["targets"].values())


def test_an_unknown_bench_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "nonsense"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there are" in done.stderr
