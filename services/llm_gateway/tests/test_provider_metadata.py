"""Providers that refuse a conversation without what they said beside its calls, before callers that drop it."""

import json

import pytest

from model_upstream import Played
from synthbench.contracts.ids import uuid7

SIGNED = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
GEMINI_CALL = {"id": "g1", "type": "function", "function": {"name": "look", "arguments": "{}"}, "extra_content": SIGNED}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
USE = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
SCHEMA = {"type": "object", "properties": {}}
TOOLS = {
    "openai": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
    "anthropic": [{"name": "look", "input_schema": SCHEMA}],
}


def answer_of(provider: str) -> tuple[dict, list]:
    """A provider's answer with one call, whole and as a stream."""
    if provider == "openai":
        head = {"id": "x", "created": 1, "model": "m"}
        message = {"role": "assistant", "content": None, "tool_calls": [GEMINI_CALL]}
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        whole = {**head, "object": "chat.completion", "usage": usage,
                 "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}  # fmt: skip
        delta = {"role": "assistant", "tool_calls": [{"index": 0, **GEMINI_CALL}]}
        chunk = {**head, "object": "chat.completion.chunk"}
        return whole, [
            {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            {**chunk, "choices": [], "usage": usage},
        ]
    usage = {"input_tokens": 5, "output_tokens": 3}
    whole = {"id": "x", "type": "message", "role": "assistant", "model": "m", "content": [THOUGHT, USE],
             "stop_reason": "tool_use", "stop_sequence": None, "usage": usage}  # fmt: skip
    pieces = [("thinking_delta", "thinking"), ("signature_delta", "signature")]
    return whole, [
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        {"type": "content_block_start", "index": 0, "content_block": {**THOUGHT, "thinking": "", "signature": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": t, f: THOUGHT[f]}} for t, f in pieces),
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": USE},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


def next_messages(caller: str, call: str) -> list[dict]:
    """The conversation as an agent sends it that keeps only names, arguments and ids of calls."""
    ask = {"role": "user", "content": "Look."}
    if caller == "openai":
        function = {"name": "look", "arguments": "{}"}
        kept = {"role": "assistant", "tool_calls": [{"id": call, "type": "function", "function": function}]}
        return [ask, kept, {"role": "tool", "tool_call_id": call, "content": "a house"}]
    result = {"type": "tool_result", "tool_use_id": call, "content": "a house"}
    use = {"type": "tool_use", "id": call, "name": "look", "input": {}}
    return [ask, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("caller", ["openai", "anthropic"])
@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_what_was_left_out_is_in_the_next_request(gateway, upstream, provider: str, caller: str, stream: bool):
    route = {"openai": "chat/small", "anthropic": "claude/small"}[provider]
    path = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}[caller]
    key, call = {"rollout_id": uuid7()}, "g1" if provider == "openai" else "t1"
    first = {"messages": [{"role": "user", "content": "Look."}], "tools": TOOLS[caller], "max_tokens": 50}
    upstream.play = Played(*answer_of(provider))

    async def ask(request: dict, **claims: object) -> dict:
        async with gateway.http(route, **claims) as client:
            answer = await client.post(path, json=request)
        assert answer.status_code == 200, answer.text
        return upstream.seen[-1].body

    await ask({**first, "stream": stream}, **key)
    again = {**first, "messages": next_messages(caller, call)}
    # Another attempt of the same rollout, as a resumed one is; then one that has nothing to do with it.
    sent = (await ask(again, **key, attempt=2))["messages"][1]
    if provider == "openai":
        assert sent["tool_calls"][0]["extra_content"] == SIGNED
    else:
        assert sent["content"] == [THOUGHT, USE]
    assert "signature" not in json.dumps(await ask(again, rollout_id=uuid7()))
