"""The native scaffold against an OpenAI-compatible provider that takes its own rules seriously."""

import json
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from synthbench.storage.trajectories import decode

pytestmark = pytest.mark.timeout(240)

KEY = "sk-upstream-secret-0123456789"
SERVER = Path(__file__).with_name("upstream.py")


@contextmanager
def upstream(folder: Path, mode: str = "solve") -> Generator[str]:
    port_file = folder / f"port-{mode}-{time.time_ns()}"
    process = subprocess.Popen([sys.executable, SERVER, port_file, mode])
    try:
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port_file.read_text()}/v1"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def stack(data_folders: Path, make_stack):
    made = make_stack(data_folders / f"upstream-{time.time_ns()}", MY_KEY=KEY)
    yield made
    made.down()


def generate(stack, url: str, *more: str, check: bool = True):
    return stack.run(
        "generate-trajectory", "--task", "simple-task-001", "--base-url", url, "--api-key-env", "MY_KEY", "--json",
        *more, check=check,
    )  # fmt: skip


def test_a_strict_provider_is_content_and_paid(stack, tmp_path: Path):
    with upstream(tmp_path) as url:
        row = json.loads(generate(stack, url, "--model", "gpt-4o-mini").stdout)[0]
    assert (row["outcome"], row["reward"], row["steps"]) == ("solved", 1.0, 4)
    trajectory = decode(Path(row["location"]).read_bytes())
    assert not trajectory.rollout.simulated
    assert trajectory.usage.calls == 4
    assert trajectory.usage.input_tokens == 4000
    assert trajectory.usage.cost_known
    assert trajectory.usage.cost_microusd > 0
    call = trajectory.steps[0].model_call
    assert call is not None
    assert call.provider == "openai"
    assert call.model == "gpt-4o-mini-2026-01-01"
    assert json.loads(call.response)["usage"]["prompt_tokens"] == 1000
    # The provider's key is the gateway's alone.
    for path in [*(stack.folder / "logs").iterdir(), *(p for p in stack.artifacts() if p.is_file())]:
        assert KEY not in path.read_text(errors="replace"), path


@pytest.mark.parametrize(
    ("mode", "outcome"), [("nonsense", "gave_up"), ("empty", "gave_up"), ("bad_json", "agent_error")]
)
def test_a_model_that_answers_nonsense_ends_as_its_own_doing(stack, tmp_path: Path, mode: str, outcome: str):
    with upstream(tmp_path, mode) as url:
        row = json.loads(generate(stack, url, "--model", "gpt-4o-mini").stdout)[0]
    assert (row["outcome"], row["reward"], row["steps"]) == (outcome, 0.0, 3)


def test_wrong_credentials_are_one_clear_line(stack, tmp_path: Path):
    stack.env["MY_KEY"] = "sk-wrong"
    with upstream(tmp_path) as url:
        done = generate(stack, url, "--model", "gpt-4o-mini", check=False)
    assert done.returncode == 1
    assert "refuses this deployment's key" in done.stderr.strip().splitlines()[-1]


def test_a_provider_that_is_not_there_is_refused_with_the_cause_before_anything_runs(stack):
    done = generate(stack, "http://127.0.0.1:9/v1", "--model", "gpt-4o-mini", check=False)
    assert done.returncode == 1
    said = "rejected: route: gpt-4o-mini: the provider cannot be reached: connection refused by 127.0.0.1:9"
    assert said in done.stderr


def test_an_unknown_price_is_refused_unless_allowed(stack, tmp_path: Path):
    with upstream(tmp_path) as url:
        refused = generate(stack, url, "--model", "somebody/unheard-of", check=False)
        allowed = generate(stack, url, "--model", "somebody/unheard-of", "--allow-unknown-price")
    assert refused.returncode == 1
    assert "rejected" in refused.stderr
    assert "--allow-unknown-price" in refused.stderr
    row = json.loads(allowed.stdout)[0]
    assert row["outcome"] == "solved"
    assert not decode(Path(row["location"]).read_bytes()).usage.cost_known


def test_the_cost_cap_ends_the_attempt(stack, tmp_path: Path):
    with upstream(tmp_path) as url:
        row = json.loads(generate(stack, url, "--model", "gpt-4o-mini", "--max-cost", "0.0030").stdout)[0]
    assert row["outcome"] == "cost_limit"
    assert decode(Path(row["location"]).read_bytes()).usage.cost_microusd <= 3000
