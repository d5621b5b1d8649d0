"""Wrong requests, and providers that answer nonsense: the right error on the caller's wire, read by its SDK."""

from typing import Any
from uuid import UUID

import anthropic
import openai
import pytest
from anthropic.types.shared import ErrorResponse

from model_upstream import KEY, two_wires
from synthbench.llm_gateway.domain import retries

HELLO: list = [{"role": "user", "content": "Hello"}]
USED: dict[str, Any] = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
CALLED: dict[str, Any] = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def function(**fields: Any) -> dict:
    return {"tools": [{"type": "function", "function": fields}]}


OPENAI: dict[str, dict] = {
    "no messages": {"messages": []},
    "a message without a role": {"messages": [{"content": "Hello"}]},
    "a tool's name with a space": function(name="f g"),
    "a schema that is a list": function(name="f", parameters=["x"]),
    "a schema of another type": function(name="f", parameters={"type": "string"}),
    "properties that are none": function(name="f", parameters={"type": "object", "properties": 5}),
    "tools that are no list": {"tools": {"f": 1}},
    "a tool without a type": {"tools": [{}]},
    "a result before its call": {"messages": [*HELLO, {"role": "tool", "tool_call_id": "a", "content": "1"}]},
    "a call without its result": {"messages": [*HELLO, {"role": "assistant", "tool_calls": [CALLED]}, *HELLO]},
    "a call at the end": {"messages": [*HELLO, {"role": "assistant", "tool_calls": [CALLED]}]},
}
ANTHROPIC: dict[str, dict] = {
    "no messages": {"messages": []},
    "a message without a role": {"messages": [{"content": "Hello"}]},
    "a message of a tool": {"messages": [*HELLO, {"role": "tool", "content": "1"}]},
    "a tool's name with a space": {"tools": [{"name": "f g", "input_schema": {"type": "object"}}]},
    "a schema that is a list": {"tools": [{"name": "f", "input_schema": ["x"]}]},
    "a schema of another type": {"tools": [{"name": "f", "input_schema": {"type": "array"}}]},
    "properties that are none": {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": 5}}]},
    "tools that are no list": {"tools": {"f": 1}},
    "no tokens for an answer": {"max_tokens": 0},
    "a result before its call": {
        "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]}]
    },
    "a call without its result": {"messages": [*HELLO, {"role": "assistant", "content": [USED]}, *HELLO]},
    "a call at the end": {"messages": [*HELLO, {"role": "assistant", "content": [USED]}]},
}
WIRES = pytest.mark.parametrize("wire", ["openai", "anthropic"])
STREAMS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
CLASSES: dict[int, tuple[type[openai.APIError], type[anthropic.APIError]]] = {
    400: (openai.BadRequestError, anthropic.BadRequestError),
    401: (openai.AuthenticationError, anthropic.AuthenticationError),
    402: (openai.APIStatusError, anthropic.PaymentRequiredError),
    403: (openai.PermissionDeniedError, anthropic.PermissionDeniedError),
    404: (openai.NotFoundError, anthropic.NotFoundError),
    413: (openai.APIStatusError, anthropic.ContentTooLargeError),
    502: (openai.InternalServerError, anthropic.InternalServerError),
    504: (openai.InternalServerError, anthropic.GatewayTimeoutError),
}


async def refused(gateway, wire: str, status: int, route: str = "chat/small", **more: Any) -> str:
    """Ask, and return the code of the error, which is of the SDK's own class and shape."""
    with pytest.raises(CLASSES[status][wire == "anthropic"]) as caught:
        await gateway.call(wire, route, **more)
    error: Any = caught.value
    assert error.status_code == status
    if wire == "openai":
        assert error.type == ("invalid_request_error" if status < 500 else "api_error")
        assert error.message
        assert error.code
        return error.code
    if status == 413:  # in the reference ("Errors"), not in the SDK's types
        assert error.body["error"]["type"] == "request_too_large"
    else:
        ErrorResponse.model_validate(error.body)
    assert error.body["error"]["message"]
    return error.body["error"]["code"]


@WIRES
@STREAMS
async def test_requests_that_are_wrong_never_leave(gateway, upstream, wire, stream):
    for what, fields in (OPENAI if wire == "openai" else ANTHROPIC).items():
        assert await refused(gateway, wire, 400, stream=stream, **fields) == "invalid_request", what
    assert upstream.seen == []
    assert await gateway.calls() == []


@WIRES
@STREAMS
async def test_keys_models_and_sizes(start_gateway, upstream, monkeypatch, wire, stream):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    async with start_gateway(two_wires(upstream.url), max_body_mb=1) as gateway:
        key = gateway.key("chat/small")
        said = {
            await refused(gateway, wire, 401, stream=stream, key="none"),
            await refused(gateway, wire, 401, stream=stream, key=key[:-6] + "abcdef"),
        }
        assert said == {"invalid_api_key"}
        assert await refused(gateway, wire, 403, "claude/small", stream=stream, key=key) == "model_not_allowed"
        assert await refused(gateway, wire, 404, "nobody/m", stream=stream) in ("model_not_found", "unknown_price")
        long: list = [{"role": "user", "content": "x" * (1 << 20)}]
        assert await refused(gateway, wire, 413, stream=stream, messages=long) == "request_too_large"
        assert upstream.seen == []
        first, second = (gateway.key("chat/small", rollout_id=UUID(int=7), attempt=number) for number in (1, 2))
        assert await gateway.ask(wire, "chat/small", stream=stream, key=second) == "ok"
        assert await refused(gateway, wire, 403, stream=stream, key=first) == "attempt_closed"
    assert len(upstream.seen) == 1


@WIRES
@STREAMS
@pytest.mark.parametrize("route", ["chat/small", "claude/small"])
async def test_providers_that_answer_nonsense(start_gateway, upstream, monkeypatch, wire, stream, route):
    """Each on both wires of providers; what came of a stream before it broke is not taken back."""
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.02)
    async with start_gateway(two_wires(upstream.url), upstream_idle_seconds=1.0, max_answer_mb=12) as gateway:
        for fault in ("html", "half", "wrong_type"):
            upstream.faults.extend([fault] * 3)
            assert await refused(gateway, wire, 502, route, stream=stream) == "upstream_garbage", fault
            assert await gateway.ask(wire, route, stream=stream) == "ok"
        upstream.faults.append("timeout")
        assert await refused(gateway, wire, 504, route, stream=stream, seconds=1) == "upstream_timeout"
        upstream.faults.append("big")
        assert len(await gateway.call(wire, route, stream=stream)) == 10 << 20
        upstream.faults.append("negative")
        assert await gateway.ask(wire, route, stream=stream) == "ok"
        negative, before = (await gateway.calls())[-1]["usage"], (await gateway.calls())[0]["usage"]
    assert not negative["cost_known"]
    assert min(negative["input_tokens"], negative["output_tokens"], negative["cost_microusd"]) > 0
    assert not before["cost_known"]


@WIRES
async def test_a_piece_of_a_stream_beyond_the_limit(start_gateway, upstream, monkeypatch, wire):
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.02)
    async with start_gateway(two_wires(upstream.url), max_answer_mb=1) as gateway:
        for stream in (False, True):
            upstream.faults.extend(["big"] * 3)
            assert await gateway.ask(wire, "chat/small", stream=stream) == "upstream_garbage"
            upstream.faults.clear()
            assert await gateway.ask(wire, "chat/small", stream=stream) == "ok"
