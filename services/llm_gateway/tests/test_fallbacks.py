"""Routes, retries, breakers and shedding in a running gateway: what the caller gets, and what is written down."""

import asyncio
from time import monotonic
from uuid import UUID

import anthropic
import openai
import pytest
from prometheus_client import REGISTRY

from model_upstream import KEY, two_wires

ROUTES = """
[models."chat/tiny"]
name = "tiny"
context = 8
prices = { input = 1.0, output = 10.0 }

[models."chat/large"]
name = "large"
context = 100000
prices = { input = 1000.0, output = 10000.0 }

[routes.both]
strategy = "fallback"
models = ["chat/small", "claude/small"]

[routes.windows]
strategy = "fallback"
models = ["chat/tiny", "chat/large", "chat/small"]

[routes.overflow]
strategy = "fallback"
models = ["chat/large", "chat/tiny", "chat/small"]

[routes.thrifty]
strategy = "fallback"
models = ["chat/large", "claude/small"]

[routes.split]
strategy = "ab"
models = ["chat/small", "claude/small"]
"""


@pytest.fixture
async def routed(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(two_wires(upstream.url, ROUTES)) as running:
        yield running


async def test_after_an_error_the_next_model_answers_and_keeps_the_attempt(routed, upstream):
    upstream.faults.extend(["500"] * 3)
    key = routed.key("both")
    assert await routed.ask("openai", "both", stream=True, key=key) == "ok"
    calls = await routed.calls()
    assert [call["outcome"] for call in calls] == ["upstream_status"] * 3 + ["ok"]
    assert calls[-1]["choice"] == "fallback 2 of 2: the first that can take it, after upstream_status"
    assert (calls[-1]["route"], calls[-1]["provider"]) == ("both", "claude")
    assert await routed.ask("anthropic", "both", key=key) == "ok"
    assert await routed.ask("anthropic", "both") == "ok"
    kept, other = (await routed.calls())[-2:]
    assert (kept["provider"], kept["choice"]) == ("claude", "fallback 1 of 2: it answered this attempt before")
    assert other["provider"] == "chat"


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_an_overflow_goes_to_a_larger_window_only(routed, upstream, wire):
    assert await routed.ask(wire, "windows") == "ok"
    call = (await routed.calls())[-1]
    assert call["model"] == "large-2026-01-01"
    assert "not chat/tiny has a context of 8 tokens" in call["choice"]
    upstream.faults.append("context")
    assert await routed.ask(wire, "overflow", stream=True) == "ok"
    first, second = (await routed.calls())[-2:]
    assert (first["outcome"], first["usage"]["cost_known"]) == ("context_length_exceeded", True)
    assert (second["model"], upstream.seen[-1].body["model"]) == ("small-2026-01-01", "small")


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_what_a_budget_cannot_pay_a_cheaper_model_answers(routed, upstream, wire):
    key = routed.key("thrifty", max_cost_microusd=20_000)
    assert await routed.ask(wire, "thrifty", key=key, stream=True) == "ok"
    (call,) = await routed.calls()
    assert (call["provider"], upstream.seen[0].body["model"]) == ("claude", "small")
    assert call["choice"] == "fallback 2 of 2: the first that can take it, after cost_limit"
    poor = routed.key("thrifty", max_cost_microusd=1)
    with pytest.raises((openai.APIStatusError, anthropic.PaymentRequiredError)) as caught:
        await routed.call(wire, "thrifty", key=poor)
    assert caught.value.status_code == 402
    assert len(upstream.seen) == 1


async def test_a_shared_budget_is_announced_as_exhausted_only_when_no_model_fits(routed):
    shared = {"campaign_cost_microusd": 100_000, "campaign_epoch": 1}
    assert await routed.ask("openai", "thrifty", key=routed.key("thrifty", **shared)) == "ok"
    assert [said.get("budget") for said in await routed.calls()] == [None], "the campaign is not to be paused"
    assert await routed.ask("openai", "chat/large", key=routed.key("chat/large", **shared)) == "budget_exhausted"
    assert [said.get("scope") for said in await routed.calls() if "budget" in said] == ["campaign/c"]


async def test_an_arm_is_the_rollouts_whatever_the_attempt(routed):
    arms: list[str] = []
    for number in range(12):
        providers: set[str] = set()
        for attempt in (1, 2):
            key = routed.key("split", rollout_id=UUID(int=number), attempt=attempt)
            assert await routed.ask("openai", "split", key=key) == "ok"
            providers.add((await routed.calls())[-1]["provider"])
        assert len(providers) == 1
        arms += providers
    assert set(arms) == {"chat", "claude"}


@pytest.mark.parametrize("fault", ["429 after 2", "503 until 3"])
async def test_the_pause_that_a_provider_asks_for_is_kept_and_off_the_clock(routed, upstream, fault):
    upstream.faults.append(fault)
    before = _waits()
    async with routed.http("claude/small") as client:
        answer = await client.post("/v1/messages", json=_body("claude/small"))
    assert answer.status_code == 200
    first, second = upstream.seen
    assert 1.9 < second.at - first.at < 6
    waited = float(answer.headers["x-synthbench-waited-seconds"])
    assert waited == pytest.approx(second.at - first.at, abs=0.3)
    assert (await routed.calls())[-1]["waited_seconds"] == pytest.approx(waited, abs=0.01)
    assert _waits() == before + 1


async def test_a_pause_beyond_the_deadline_is_refused_at_once(routed, upstream):
    upstream.faults.append("429 after 300")
    began = monotonic()
    with pytest.raises(openai.RateLimitError) as caught:
        await routed.call("openai", "chat/small", seconds=10)
    assert monotonic() - began < 5
    assert caught.value.response.headers["retry-after"] == "300"


def _waits() -> float:
    return REGISTRY.get_sample_value("synthbench_llm_waited_seconds_count", {"provider": "claude"}) or 0.0


async def test_a_breaker_opens_and_one_probe_at_a_time_closes_it(routed, upstream):
    upstream.faults.extend(["500"] * 5)
    codes = [await routed.ask("openai", "chat/small", seconds=0.4) for _ in range(8)]
    assert codes[-1] == "circuit_open", codes
    with pytest.raises(anthropic.ServiceUnavailableError) as caught:
        await routed.call("anthropic", "chat/small")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    seen = len(upstream.seen)
    await asyncio.sleep(2.1)
    upstream.delay = 0.5
    codes = await asyncio.gather(*(routed.ask("openai", "chat/small") for _ in range(4)))
    assert sorted(codes) == ["circuit_open"] * 3 + ["ok"]
    assert len(upstream.seen) == seen + 1
    assert await routed.ask("openai", "chat/small") == "ok"


def _body(route: str) -> dict:
    return {"model": route, "max_tokens": 9, "messages": [{"role": "user", "content": "Does it rain?"}]}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_calls_beyond_max_inflight_are_refused_with_retry_after(start_gateway, upstream, monkeypatch, path):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.delay = 0.5
    async with start_gateway(two_wires(upstream.url), max_inflight=2) as gateway, gateway.http("chat/small") as client:
        body = _body("chat/small")
        answers = await asyncio.gather(*(client.post(path, json=body | {"stream": bool(n % 2)}) for n in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"
    assert len(upstream.seen) == 2


async def test_each_providers_readiness_is_a_metric_of_its_own(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    monkeypatch.setattr("synthbench.llm_gateway.bootstrap.PROBE_SECONDS", 0.1)
    gone = '\n[providers.gone]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    async with start_gateway(two_wires(upstream.url, gone)) as gateway, gateway.http() as client:

        async def ready() -> dict[str, float]:
            lines = (await client.get("/metrics")).text.splitlines()
            found = [line.split('"') for line in lines if line.startswith("synthbench_llm_provider_ready{")]
            return {parts[1]: float(parts[2].strip("} ")) for parts in found if parts[1] in ("chat", "claude", "gone")}

        async def until(wanted: dict[str, float]) -> None:
            async with asyncio.timeout(10):
                while await ready() != wanted:
                    await asyncio.sleep(0.1)

        await until({"chat": 1, "claude": 1, "gone": 0})
        assert (await client.get("/readyz")).status_code == 200
        upstream.away = True
        await until({"chat": 0, "claude": 0, "gone": 0})
        upstream.away = False
        await until({"chat": 1, "claude": 1, "gone": 0})
