"""Providers that misbehave in random mixes: callers get answers or right errors in time; every try is booked."""

import asyncio
import random
from collections import Counter
from time import monotonic

import anthropic
import httpx
import openai
import pytest

from model_upstream import KEY, two_wires

MESSAGES: list = [{"role": "user", "content": "Does it rain?"}]
FAULTS = [
    "429", "500", "529", "timeout", "reset", "hang", "cut", "garbage", "half", "html", "wrong_type", "negative", "big",
    "ok", "ok", "ok",
]  # fmt: skip
UNKNOWN = {
    "upstream_reset", "upstream_timeout", "upstream_garbage", "broken_stream",
}  # fmt: skip
DEADLINE, SLACK = 4.0, 8.0
"""Seconds. What hangs hangs for 30; the slack is for a busy machine."""


async def ask(gateway, wire: str, route: str, *, stream: bool, seconds: float = DEADLINE) -> str:
    """Return `ok`, or the code of the error, which is the SDK's own."""
    headers = {"x-synthbench-deadline-seconds": str(seconds)}
    client = gateway.openai(route) if wire == "openai" else gateway.anthropic(route)
    try:
        if wire == "openai" and stream:
            got = await client.chat.completions.create(
                model=route, messages=MESSAGES, stream=True, extra_headers=headers
            )
            chunks = [chunk async for chunk in got]
            assert chunks[-1].choices[0].finish_reason == "stop"
        elif wire == "openai":
            answer = await client.chat.completions.create(model=route, messages=MESSAGES, extra_headers=headers)
            assert answer.choices[0].message.content
        elif stream:
            async with client.messages.stream(
                model=route, messages=MESSAGES, max_tokens=9, extra_headers=headers
            ) as got:
                assert (await got.get_final_message()).stop_reason == "end_turn"
        else:
            answer = await client.messages.create(model=route, messages=MESSAGES, max_tokens=9, extra_headers=headers)
            assert answer.stop_reason == "end_turn"
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        body: dict = error.body  # pyright: ignore[reportAssignmentType] - an error of ours is an object
        return str(body.get("code") or body["error"]["code"])
    except openai.APIError as error:
        return str(error.code)  # the error event of a stream
    return "ok"


@pytest.fixture
async def faulty(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    routes = """
[routes.both]
strategy = "fallback"
models = ["chat/small", "claude/small"]
"""
    async with start_gateway(two_wires(upstream.url, routes), upstream_idle_seconds=1.0) as running:
        yield running


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_random_mixes(faulty, upstream, seed):
    chance = random.Random(seed)
    upstream.faults.extend(chance.choice(FAULTS) for _ in range(400))

    async def one(number: int) -> str:
        route = chance.choice(["chat/small", "claude/small", "both"])
        began = monotonic()
        found = await ask(faulty, chance.choice(["openai", "anthropic"]), route, stream=chance.random() < 0.5)
        assert monotonic() - began < DEADLINE + SLACK
        return found

    found = Counter(await asyncio.gather(*(one(number) for number in range(24))))
    assert found["ok"] > 5, found
    assert set(found) <= {"ok", *UNKNOWN, "upstream_status", "upstream_rate_limit", "circuit_open"}, found
    calls = await faulty.calls()
    assert len(calls) == len(upstream.seen)
    for call in calls:
        known = call["usage"]["cost_known"]
        assert known == (call["outcome"] not in UNKNOWN) or call["outcome"] == "ok", call
    negative = sum(seen.served == "negative" for seen in upstream.seen if not seen.body.get("stream"))
    assert sum(not c["usage"]["cost_known"] for c in calls if c["outcome"] == "ok") == negative
    resets = sum(seen.served == "reset" for seen in upstream.seen)
    assert sum(call["outcome"] == "upstream_reset" for call in calls) >= resets
    assert not any(call["outcome"] == "upstream_unreachable" for call in calls)


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("429", "upstream_rate_limit"), ("500", "upstream_status"), ("529", "upstream_status"),
        ("context", "context_length_exceeded"), ("html", "upstream_garbage"), ("half", "upstream_garbage"),
        ("wrong_type", "upstream_garbage"),
    ],
)  # fmt: skip
async def test_each_fault_is_an_error_of_the_callers_wire(faulty, upstream, wire, stream, fault, code):
    upstream.faults.extend([fault] * 3)
    assert await ask(faulty, wire, "chat/small", stream=stream, seconds=10) == code
    calls = await faulty.calls()
    assert len(calls) == len(upstream.seen) == (1 if fault == "context" else 3)
    assert {call["outcome"] for call in calls} == {code}
    assert [call["try_number"] for call in calls] == list(range(1, len(calls) + 1))
    assert len({call["request_id"] for call in calls}) == 1


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize("route", ["chat/small", "claude/small"])
@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("cut", "broken_stream"),
        ("reset", "upstream_reset"),
        ("hang", "upstream_timeout"),
        ("garbage", "upstream_garbage"),
    ],
)
async def test_a_stream_that_breaks_is_never_passed_off_as_whole(faulty, upstream, wire, route, fault, code):
    upstream.faults.append(fault)
    key = {"authorization": f"Bearer {faulty.key(route)}"}
    path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
    body = {"model": route, "messages": MESSAGES, "max_tokens": 9, "stream": True}
    async with httpx.AsyncClient(base_url=faulty.url, headers=key, timeout=20) as client:
        text = (await client.post(path, json=body)).text
    assert "[DONE]" not in text
    assert "message_stop" not in text
    assert 'finish_reason":"stop' not in text
    assert f'"code":"{code}"' in text.splitlines()[-2]
    assert len(upstream.seen) == 1
    (call,) = await faulty.calls()
    assert (call["outcome"], call["usage"]["cost_known"]) == (code, False)
    assert call["usage"]["output_tokens"] > 0


async def test_a_caller_that_goes_away_ends_the_stream_and_is_booked(faulty, upstream):
    upstream.faults.append("hang")
    route = "chat/small"
    key = {"authorization": f"Bearer {faulty.key(route)}"}
    async with httpx.AsyncClient(base_url=faulty.url, headers=key, timeout=20) as client:
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
        assert await ask(gateway, "anthropic", "gone/x", stream=False) == "upstream_unreachable"
        calls = await gateway.calls()
    assert {(call["outcome"], call["usage"]["cost_known"], call["usage"]["cost_microusd"]) for call in calls} == {
        ("upstream_unreachable", True, 0)
    }


async def test_fallback_and_its_reason(faulty, upstream):
    upstream.faults.extend(["500"] * 3)
    assert await ask(faulty, "openai", "both", stream=True, seconds=20) == "ok"
    calls = await faulty.calls()
    assert [call["outcome"] for call in calls] == ["upstream_status"] * 3 + ["ok"]
    assert calls[-1]["choice"] == "fallback 2 of 2: the first that can take it, after upstream_status"
    assert (calls[-1]["route"], calls[-1]["provider"]) == ("both", "claude")


async def test_a_breaker_opens_and_closes_again(faulty, upstream):
    upstream.faults.extend(["500"] * 5)
    codes = [await ask(faulty, "openai", "chat/small", stream=False, seconds=0.4) for _ in range(8)]
    assert codes[-1] == "circuit_open", codes
    seen = len(upstream.seen)
    await asyncio.sleep(2.1)
    assert await ask(faulty, "openai", "chat/small", stream=False) == "ok"
    assert len(upstream.seen) == seen + 1


async def test_too_many_at_once_are_told_to_come_again(start_gateway, upstream, monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    upstream.delay = 0.5
    async with start_gateway(two_wires(upstream.url), max_inflight=2) as gateway, gateway.http("chat/small") as client:
        body = {"model": "chat/small", "messages": MESSAGES}
        answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["code"] == "overloaded"
