"""Every OpenAPI document says what its service does: requests that follow it, and some that do not, are made of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = "15"
LEFT_OUT = "positive_data_acceptance"
"""A filter, a cursor and a list of names are texts to OpenAPI, and languages to us: most texts are refused."""


@pytest.mark.parametrize("service", ["collector", "scheduler"])
def test_it_answers_as_it_says(stack, service: str, tmp_path: Path):
    endpoints = stack.endpoints()
    url = endpoints.collector_url if service == "collector" else endpoints.scheduler_url
    assert endpoints.api_token is not None
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{url}/openapi.json", "-n", EXAMPLES, "--seed", "1",
            "--header", f"authorization: Bearer {endpoints.api_token.get_secret_value()}",
            "--exclude-checks", LEFT_OUT, "--phases", "examples,coverage,fuzzing", "--no-color",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted is not None, done.stdout[-1000:]
    assert counted[1] == counted[2]
    assert int(counted[1]) > 100
