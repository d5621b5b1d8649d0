"""The native scaffold against an OpenAI-compatible provider that takes its own rules seriously."""

import json
from pathlib import Path

import pytest

from synthbench.storage.trajectories import decode

from .conftest import KEY, Provided

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]


def generate(provided: Provided, model: str, *more: str, check: bool = True):
    return provided.stack.ask(
        "generate-trajectory", "--task", "simple-task-001", "--base-url", provided.url, "--api-key-env", "MY_KEY",
        "--json", "--model", model, *more, check=check,
    )  # fmt: skip


def test_a_strict_provider_is_content_and_paid(provided: Provided):
    row = provided.row
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


@pytest.mark.parametrize(
    ("mode", "outcome"), [("nonsense", "gave_up"), ("empty", "gave_up"), ("bad_json", "agent_error")]
)
def test_a_model_that_answers_nonsense_ends_as_its_own_doing(provided: Provided, mode: str, outcome: str):
    row = json.loads(generate(provided, f"somebody/{mode}", "--allow-unknown-price").stdout)[0]
    assert (row["outcome"], row["reward"], row["steps"]) == (outcome, 0.0, 3)


def refused(provided: Provided, model: str, url: str, key: str) -> str:
    """Return what a command says of a model that is added with this address and key, and asked for."""
    prices = ["--input-price", "1", "--output-price", "1"]
    provided.stack.ask("models", "add", model, "--base-url", url, "--api-key-env", key, *prices)
    done = provided.stack.ask("generate-trajectory", "--task", "simple-task-001", "--model", model, check=False)
    assert done.returncode == 1
    return done.stderr


def test_wrong_credentials_are_one_clear_line(provided: Provided):
    said = refused(provided, "lab/locked", provided.url, "WRONG_KEY")
    assert "refuses this deployment's key" in said.strip().splitlines()[-1]


def test_a_provider_that_is_not_there_is_refused_with_the_cause_before_anything_runs(provided: Provided):
    said = refused(provided, "lab/gone", "http://127.0.0.1:9/v1", "MY_KEY")
    assert "rejected: route: lab/gone: the provider cannot be reached: connection refused by 127.0.0.1:9" in said


def test_an_unknown_price_is_refused_unless_allowed(provided: Provided):
    refused = generate(provided, "somebody/unheard-of", check=False)
    assert refused.returncode == 1
    assert "rejected" in refused.stderr
    assert "--allow-unknown-price" in refused.stderr
    row = json.loads(generate(provided, "somebody/unheard-of", "--allow-unknown-price").stdout)[0]
    assert row["outcome"] == "solved"
    assert not decode(Path(row["location"]).read_bytes()).usage.cost_known


def test_the_cost_cap_ends_the_attempt(provided: Provided):
    row = json.loads(generate(provided, "gpt-4o-mini", "--max-cost", "0.0030").stdout)[0]
    assert row["outcome"] == "cost_limit"
    assert decode(Path(row["location"]).read_bytes()).usage.cost_microusd <= 3000


def test_the_providers_key_is_the_gateways_alone(provided: Provided):
    logs = (provided.stack.folder / "logs").iterdir()
    for path in [*logs, *(path for path in provided.stack.artifacts() if path.is_file())]:
        assert KEY not in path.read_text(errors="replace"), path
