"""Providers that misbehave, also in random mixes: callers get answers or right errors in time; every try is booked."""

import asyncio
import os
import random
from collections import Counter
from time import monotonic

import pytest

from model_upstream import KEY, two_wires
from synthbench.llm_gateway.domain import retries
from synthbench.wire.openai import OpenAIWire

MESSAGES: list = [{"role": "user", "content": "Does it rain?"}]
FAULTS = {
    "429": "upstream_rate_limit", "500": "upstream_status", "529": "upstream_status", "timeout": "upstream_timeout",
    "hang": "upstream_timeout", "reset": "upstream_reset", "half": "upstream_garbage", "html": "upstream_garbage",
    "wrong_type": "upstream_garbage", "cut": "upstream_reset", "garbage": "upstream_reset", "negative": "ok",
    "big": "ok", "ok": "ok",
}  # fmt: skip
"""What the ledger says of a try that met it."""
IN_STREAMS = {"cut": "broken_stream", "garbage": "upstream_garbage"}
UNKNOWN = {"upstream_reset", "upstream_timeout", "upstream_garbage", "broken_stream"}
"""The provider may have done the work, and may bill it."""
DEADLINE, SLACK = 4.0, 4.0
"""Seconds. What hangs hangs for 30; the slack is for a busy machine."""
SEEDS, CALLERS = (range(20), 100) if os.environ.get("FULL") else (range(3), 24)
BOTH = '\n[routes.both]\nstrategy = "fallback"\nmodels = ["chat/small", "claude/small"]\n'


@pytest.fixture
async def faulty(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.02)
    async with start_gateway(two_wires(upstream.url, BOTH), upstream_idle_seconds=1.0) as running:
        yield running


def expected(seen) -> str:
    return (seen.body.get("stream") and IN_STREAMS.get(seen.served)) or FAULTS[seen.served]


@pytest.mark.parametrize("seed", SEEDS)
async def test_random_mixes(faulty, upstream, seed):
    chance = random.Random(seed)
    mix = [*FAULTS, "ok", "ok", "ok"]
    upstream.faults.extend(chance.choice(mix) for _ in range(CALLERS * 20))

    async def one() -> str:
        route, wire = chance.choice(["chat/small", "claude/small", "both"]), chance.choice(["openai", "anthropic"])
        began = monotonic()
        found = await faulty.ask(wire, route, stream=chance.random() < 0.5, seconds=DEADLINE)
        assert monotonic() - began < DEADLINE + SLACK
        return found

    found = Counter(await asyncio.gather(*(one() for _ in range(CALLERS))))
    assert found["ok"] > CALLERS / 5, found
    assert set(found) <= {*FAULTS.values(), *IN_STREAMS.values(), "circuit_open"}, found
    # The ledger equals what the upstream saw, but that a slow machine may turn anything into a time-out.
    calls = await faulty.calls()
    assert len(calls) == len(upstream.seen)
    booked, served = Counter(call["outcome"] for call in calls), Counter(map(expected, upstream.seen))
    assert set(booked - served) <= {"upstream_timeout"}, (booked, served)
    negative = sum(seen.served == "negative" for seen in upstream.seen)
    assert 0 <= negative - sum(not c["usage"]["cost_known"] for c in calls if c["outcome"] == "ok") <= 1
    for call in calls:
        known = call["usage"]["cost_known"]
        assert known == (call["outcome"] not in UNKNOWN) or call["outcome"] == "ok", call


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
async def test_each_fault_is_an_error_of_the_callers_wire(faulty, upstream, wire, stream):
    met = {
        "429": "upstream_rate_limit", "500": "upstream_status", "529": "upstream_status", "html": "upstream_garbage",
        "half": "upstream_garbage", "wrong_type": "upstream_garbage", "context": "context_length_exceeded",
        "401": "upstream_credentials", "404": "model_not_found",
    }  # fmt: skip
    before = 0
    for fault, code in met.items():
        for route in ("chat/small", "claude/small"):
            upstream.faults.extend([fault] * 3)
            assert await faulty.ask(wire, route, stream=stream, seconds=10) == code, (fault, route)
            upstream.faults.clear()
            calls = (await faulty.calls())[before:]
            before += len(calls)
            assert len(upstream.seen) == before
            assert [call["try_number"] for call in calls] == list(range(1, len(calls) + 1))
            assert len(calls) == (
                1 if code in ("context_length_exceeded", "upstream_credentials", "model_not_found") else 3
            )
            assert {call["outcome"] for call in calls} == {code}
            assert len({call["request_id"] for call in calls}) == 1
            assert await faulty.ask(wire, route) == "ok"  # closes the breaker
            before += 1


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("route", ["chat/small", "claude/small"])
async def test_a_stream_that_breaks_is_never_passed_off_as_whole(faulty, upstream, wire, route):
    path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
    body = {"model": route, "messages": MESSAGES, "max_tokens": 9, "stream": True}
    broken = {
        "cut": "broken_stream", "reset": "upstream_reset", "hang": "upstream_timeout", "garbage": "upstream_garbage",
    }  # fmt: skip
    for number, (fault, code) in enumerate(broken.items()):
        upstream.faults.append(fault)
        async with faulty.http(route) as client:
            text = (await client.post(path, json=body)).text
        assert "[DONE]" not in text
        assert "message_stop" not in text
        assert 'finish_reason":"stop' not in text
        assert f'"code":"{code}"' in text.splitlines()[-2]
        assert len(upstream.seen) == number + 1
        call = (await faulty.calls())[-1]
        assert (call["outcome"], call["usage"]["cost_known"]) == (code, False)
        assert call["usage"]["output_tokens"] > 0


async def test_a_caller_that_goes_away_ends_the_stream_and_is_booked(faulty, upstream):
    upstream.faults.append("hang")
    route = "chat/small"
    async with faulty.http(route) as client:
        body = {"model": route, "messages": MESSAGES, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_raw():
                break
    async with asyncio.timeout(10):
        while not (calls := await faulty.calls()):
            await asyncio.sleep(0.05)
    assert calls[0]["outcome"] in ("caller_gone", "upstream_timeout")
    assert not calls[0]["usage"]["cost_known"]


async def test_nobody_listening_is_no_money(start_gateway):
    provider = '[providers.gone]\nkind = "openai"\nbase_url = "http://127.0.0.1:9/v1"\n'
    models = provider + '[models."gone/x"]\nprices = { input = 1, output = 1 }\n'
    async with start_gateway(models) as gateway:
        assert await gateway.ask("anthropic", "gone/x") == "upstream_unreachable"
        calls = await gateway.calls()
    assert {(call["outcome"], call["usage"]["cost_known"], call["usage"]["cost_microusd"]) for call in calls} == {
        ("upstream_unreachable", True, 0)
    }


async def test_a_defect_of_ours_is_written_down_and_holds_no_money(faulty, upstream, monkeypatch):
    def broken(self: OpenAIWire, answer: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(OpenAIWire, "usage", broken)
    assert await faulty.ask("openai", "chat/small") == "gateway_error"
    (call,) = await faulty.calls()
    assert (call["outcome"], call["status"], call["usage"]["cost_known"]) == ("gateway_error", 500, False)
    async with asyncio.timeout(10), faulty.database.connection() as connection:
        query = "select count(*)::int as tied from slices where microusd <> 0 and scope like 'attempt/%'"
        while (await (await connection.execute(query)).fetchone()) != {"tied": 0}:
            await asyncio.sleep(0.1)
