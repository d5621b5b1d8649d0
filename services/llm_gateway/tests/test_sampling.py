"""Sampling parameters: what a provider gets, on both wires, of an agent's request, its submission and models.toml."""

import json

import pytest

from model_upstream import KEY, Upstream
from synthbench.contracts.sampling import Sampling
from synthbench.llm_gateway.recordings.domain.recording import request_digest

ASKED = Sampling(temperature=0.5, top_p=0.9, max_tokens=77, reasoning_effort="low", seed=41, extra_body={"top_k": "40"})
MODELS = """
[providers.chat]
kind = "openai"
base_url = "{url}"
api_key_env = "UPSTREAM_KEY"

[providers.claude]
kind = "anthropic"
base_url = "{url}"
api_key_env = "UPSTREAM_KEY"

[models."chat/small"]
prices = {{ input = 1, output = 1 }}

[models."chat/set"]
prices = {{ input = 1, output = 1 }}
sampling = {{ temperature = 0.1, seed = 5, extra_body = {{ min_p = 0.05 }} }}

[models."claude/big"]
prices = {{ input = 1, output = 1 }}
"""


@pytest.fixture
async def gateway(start_gateway, upstream: Upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(MODELS.format(url=upstream.url)) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_an_openai_provider_gets_every_parameter_of_the_submission(gateway, upstream: Upstream, wire, stream):
    key = gateway.key("chat/small", sampling=ASKED)
    assert await gateway.call(wire, "chat/small", key=key, stream=stream)
    got = upstream.seen[-1].body
    assert (got["temperature"], got["top_p"], got["reasoning_effort"], got["seed"], got["top_k"]) == (
        0.5, 0.9, "low", 41, 40,
    )  # fmt: skip
    # On Anthropic's wire every request names its own limit.
    assert (got.get("max_tokens"), got.get("max_completion_tokens")) == (
        (9, None) if wire == "anthropic" else (None, 77)
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_an_anthropic_provider_gets_what_its_wire_has_and_the_rest_is_named(
    gateway, upstream: Upstream, wire, stream
):
    key = gateway.key("claude/big", sampling=ASKED)
    assert await gateway.call(wire, "claude/big", key=key, stream=stream)
    got = upstream.seen[-1].body
    assert (got["temperature"], got["top_p"], got["top_k"]) == (0.5, 0.9, 40)
    assert got["output_config"] == {"effort": "low"}
    assert got["max_tokens"] == (9 if wire == "anthropic" else 77)
    assert "seed" not in got
    assert "sampling.seed" in (await gateway.calls())[-1]["dropped"]


async def test_what_an_agent_asks_itself_wins_over_its_submission(gateway, upstream: Upstream):
    key = gateway.key("chat/small", sampling=ASKED)
    own = {"temperature": 1.5, "max_tokens": 33, "seed": 0}
    assert await gateway.call("openai", "chat/small", key=key, **own)
    got = upstream.seen[-1].body
    assert {name: got[name] for name in own} == own
    assert "max_completion_tokens" not in got
    assert got["top_p"] == 0.9


async def test_a_submission_wins_over_the_models_own_parameters(gateway, upstream: Upstream):
    key = gateway.key("chat/set", sampling=Sampling(seed=9))
    assert await gateway.call("openai", "chat/set", key=key)
    got = upstream.seen[-1].body
    assert (got["temperature"], got["seed"], got["min_p"]) == (0.1, 9, 0.05)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_answer_and_the_ledger_say_what_the_provider_got(gateway, stream):
    body = {"model": "chat/set", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    async with gateway.http("chat/set", sampling=Sampling(top_p=0.5)) as http:
        response = await http.post("/v1/chat/completions", json=body)
    wanted = {"temperature": 0.1, "top_p": 0.5, "seed": 5, "min_p": 0.05}
    assert json.loads(response.headers["x-synthbench-sampling"]) == wanted
    assert json.loads((await gateway.calls())[-1]["sampling"]) == wanted


async def test_a_call_without_parameters_reaches_the_provider_without_any(gateway, upstream: Upstream):
    assert await gateway.call("openai", "chat/small")
    assert set(upstream.seen[-1].body) == {"model", "messages"}
    assert (await gateway.calls())[-1]["sampling"] == ""


async def test_a_replay_finds_only_what_was_asked_with_the_same_parameters(
    start_gateway, upstream, monkeypatch, tmp_path
):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(MODELS.format(url=upstream.url), recording="on") as gateway:
        key = gateway.key("chat/small", sampling=Sampling(temperature=0.5, seed=7))
        assert await gateway.call("openai", "chat/small", key=key)
        for sampling, found in (
            (Sampling(temperature=0.5, seed=7), "ok"),
            (Sampling(temperature=0.5, seed=8), "not_recorded"),
            (Sampling(temperature=0.6, seed=7), "not_recorded"),
            (Sampling(), "not_recorded"),
        ):
            key = gateway.key("replay/chat/small", sampling=sampling)
            assert await gateway.ask("openai", "replay/chat/small", key=key) == found
    assert len(upstream.seen) == 1


def test_every_parameter_is_a_part_of_a_recordings_key():
    plain = {"messages": [{"role": "user", "content": "hi"}]}
    digests = {
        request_digest("openai", "m", {**plain, **more})
        for more in ({}, {"temperature": 0}, {"top_p": 0.5}, {"max_tokens": 5}, {"seed": 1}, {"top_k": 3})
    }
    assert len(digests) == 6


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("temperature = 3", "sampling.temperature"),
        ("extra_body = { model = 1 }", "model is not for a submission to say"),
        ("tempreature = 0.5", "sampling.tempreature"),
    ],
)
async def test_a_wrong_parameter_in_models_toml_is_named(start_gateway, table, problem):
    with pytest.raises(Exception, match=problem):
        async with start_gateway(f'[models."sim/expert"]\nsampling = {{ {table} }}\n'):
            pass
