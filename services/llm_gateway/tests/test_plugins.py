"""A provider and a wire format in packages of their own are installed, found by their entry points, and serve calls."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from aiohttp import web

from gateway_replicas import Group
from model_upstream import PRICES, sse, two_wires
from plugin_environments import EXAMPLES, install_plugin

pytestmark = pytest.mark.timeout(300)

PARROT = """
[providers.parrot]
kind = "parrot"
options = { prefix = "You said: " }

[routes.birds]
strategy = "fixed"
models = ["parrot/grey"]
"""
QUESTION = "Does it rain?"
CHAT = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": 20}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


async def post(group: Group, path: str, route: str, body: dict[str, Any]) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {group.key(route)}"}
    answer = await group.client.post(group.replicas[0].url + path, json={"model": route, **body}, headers=headers)
    return answer.status_code, answer.text


async def test_a_provider_of_another_package_answers_a_route_of_models_toml(start_replicas, tmp_path):
    python = install_plugin(EXAMPLES / "provider", tmp_path / "plugin")
    async with start_replicas(1, PARROT, python) as group:
        status, whole = await post(group, "/v1/chat/completions", "birds", CHAT)
        assert status == 200, whole
        assert json.loads(whole)["choices"][0]["message"]["content"] == f"You said: {QUESTION}"
        status, stream = await post(group, "/v1/messages", "birds", {**CHAT, "stream": True})
        assert status == 200, stream
        assert f"You said: {QUESTION}" in stream
        assert "message_stop" in stream
        status, refused = await post(group, "/v1/chat/completions", "parrot/green", CHAT)
        assert (status, json.loads(refused)["error"]["code"]) == (404, "model_not_found")
        rows = await group.rows("select provider, wire, outcome from calls order by started_at")
        assert [tuple(row.values()) for row in rows] == [
            ("parrot", "openai", "ok"), ("parrot", "anthropic", "ok"), ("parrot", "openai", "model_not_found"),
        ]  # fmt: skip


@asynccontextmanager
async def text_server() -> AsyncGenerator[tuple[str, list[dict[str, Any]]]]:
    """A server of text completions, and the requests that it got."""
    seen: list[dict[str, Any]] = []

    async def complete(request: web.Request) -> web.Response:
        body = await request.json()
        seen.append(body)
        whole: dict[str, Any] = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        if not body.get("stream"):
            choice = {"text": "It rains.", "index": 0, "finish_reason": "stop", "logprobs": None}
            return web.json_response({**whole, "choices": [choice], "usage": USAGE})
        ends = [("It ", None), ("rains.", None), ("", "stop")]
        choices = [{"text": text, "index": 0, "finish_reason": end, "logprobs": None} for text, end in ends]
        events = [sse({**whole, "choices": [choice]}) for choice in choices]
        if body["stream_options"]["include_usage"]:
            events.append(sse({**whole, "choices": [], "usage": USAGE}))
        stream = b"".join(events) + b"data: [DONE]\n\n"
        return web.Response(body=stream, headers={"content-type": "text/event-stream"})

    app = web.Application()
    app.router.add_post("/v1/completions", complete)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", seen
    finally:
        await runner.cleanup()


async def complete(client: openai.AsyncOpenAI, route: str) -> tuple[str, str, Any]:
    """The text of a whole answer and of a streamed one, by the official SDK, and the usage of the whole one."""
    whole = await client.completions.create(model=route, prompt=QUESTION, max_tokens=20)
    pieces = [one async for one in await client.completions.create(model=route, prompt=QUESTION, stream=True)]
    assert all(piece.choices for piece in pieces), "a usage that nobody asked for"
    assert pieces[-1].choices[0].finish_reason == "stop"
    return whole.choices[0].text, "".join(piece.choices[0].text for piece in pieces), whole.usage


async def test_a_wire_format_of_another_package_reaches_every_provider_and_is_reached(
    start_replicas, upstream, tmp_path
):
    python = install_plugin(EXAMPLES / "wire", tmp_path / "plugin")
    async with text_server() as (url, seen):
        text = f'[providers.text]\nkind = "completions"\nbase_url = "{url}"\n[models."text/one"]\n{PRICES}\n'
        async with start_replicas(1, two_wires(upstream.url, text), python) as group:
            for route in ("chat/small", "claude/small", "text/one"):
                base = f"{group.replicas[0].url}/v1"
                async with openai.AsyncOpenAI(base_url=base, api_key=group.key(route), max_retries=0) as client:
                    whole, streamed, usage = await complete(client, route)
                assert whole == streamed == ("It rains." if route == "text/one" else "It is 11 degrees in Paris.")
                assert usage.completion_tokens == (3 if route == "text/one" else 100)
            assert seen[0] == {"model": "one", "prompt": QUESTION, "max_tokens": 20}
            for path in ("/v1/chat/completions", "/v1/messages"):
                for stream in (False, True):
                    status, answer = await post(group, path, "text/one", {**CHAT, "stream": stream})
                    assert status == 200, answer
                    assert "rains." in answer
            assert {body["prompt"] for body in seen} == {QUESTION}
            status, refused = await post(group, "/v1/completions", "chat/small", CHAT)
            assert (status, json.loads(refused)["error"]["code"]) == (400, "invalid_request")
            rows = await group.rows("select wire, usage, cost_known from calls where provider = 'text'")
            assert [row["wire"] for row in rows] == ["completions"] * 2 + ["openai"] * 2 + ["anthropic"] * 2
            assert {
                (row["usage"]["input_tokens"], row["usage"]["output_tokens"], row["cost_known"]) for row in rows
            } == {(7, 3, True)}
