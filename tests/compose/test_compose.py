"""docker-compose.yml as a user has it: up, one task published to its bus, a curated trajectory, down, nothing left."""

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

SCRIPT = Path(__file__).parents[2] / "scripts/test_compose.sh"


@pytest.mark.skipif(os.environ.get("CI") != "true", reason="builds images for minutes: `make test-compose` runs it")
def test_a_task_published_to_compose_becomes_a_curated_trajectory():
    done = subprocess.run([SCRIPT], capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "two executors" in done.stderr
    assert done.stderr.endswith("compose: ok: healthy, one task curated, nothing left\n")
