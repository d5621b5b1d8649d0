"""Which requests are the same, and whole answers out of streams."""

import pytest

from synthbench.llm_gateway.recordings.domain.recording import RecordingKey, request_digest
from synthbench.storage.artifacts.protocol import valid_key
from synthbench.wire.anthropic import AnthropicWire
from synthbench.wire.openai import OpenAIWire
from synthbench.wire.sse import DONE, event
from synthbench.wire.whole_answers import whole_of

CALL = {"id": "c1", "type": "function", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
BASE: dict = {
    "model": "m", "temperature": 0.5, "tools": [{"type": "function", "function": {"name": "bash"}}],
    "messages": [
        {"role": "user", "content": "Wait 3.0s, it is 12:00:00"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "Ran 3 tests in 0.012s"},
    ],
}  # fmt: skip


def digest(**changes) -> str:
    return request_digest("openai", "chat/m", {**BASE, **changes})


def message(place: int, **changes) -> list[dict]:
    messages = [dict(one) for one in BASE["messages"]]
    messages[place] |= changes
    return messages


@pytest.mark.parametrize(
    "changes",
    [
        {"stream": True, "stream_options": {"include_usage": True}},
        {"model": "other-name", "user": "me", "metadata": {"id": "7"}, "top_p": None},
        {"messages": message(2, content="Ran 3 tests in 0.7s")},
        {"messages": message(2, content=[{"type": "text", "text": "Ran 3 tests in 1.2s", "cache_control": {}}])},
        {"messages": message(1, tool_calls=[
            {**CALL, "function": {"name": "bash", "arguments": '{"command":"ls"}'}}])},
    ],
)  # fmt: skip
def test_requests_that_mean_the_same(changes):
    assert digest(**changes) == digest()


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0.7},
        {"seed": 1},
        {"tools": []},
        {"messages": message(0, content="Wait 3.1s, it is 12:00:00")},
        {"messages": message(0, content="Wait 3.0s, it is 12:00:01")},
        {"messages": message(1, content="I wait 2.0s")},
        {"messages": message(2, content="Ran 4 tests in 0.012s")},
    ],
)
def test_requests_that_do_not(changes):
    assert digest(**changes) != digest()


def test_model_and_wire_are_part_of_the_question():
    found = {request_digest(wire, model, BASE) for wire in ("openai", "anthropic") for model in ("a/m", "b/m")}
    assert len(found) == 4


@pytest.mark.parametrize("sample", [0, 3, -1, 2**40])
def test_every_sample_has_a_key_of_its_own(sample):
    keys = [RecordingKey("m", digest(), sample, number) for number in (0, 1)]
    assert len({key.path for key in keys}) == 2
    assert all(valid_key(key.path) and key.path.startswith(key.folder) for key in keys)


OPENAI = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": {
            "role": "assistant", "content": "I look.", "reasoning_content": "Hm.", "tool_calls": [
                CALL, {**CALL, "id": "c2"}]}},
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "Or not."},
         "logprobs": {"content": [{"token": "Or", "logprob": -0.1}]}},
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
}  # fmt: skip
ANTHROPIC = {
    "id": "x", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use", "stop_sequence": None,
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "bash", "input": {"command": "ls"}},
        {"type": "tool_use", "id": "t2", "name": "nothing", "input": {}},
    ],
    "usage": {"input_tokens": 3, "output_tokens": 4},
}  # fmt: skip


@pytest.mark.parametrize(("wire", "answer"), [(OpenAIWire(), OPENAI), (AnthropicWire(), ANTHROPIC)])
def test_a_stream_put_together_is_the_whole_answer(wire, answer):
    assert whole_of(wire.name, b": hello\n\n" + b"".join(wire.stream_of(answer))) == answer


def test_pieces_of_a_stream_grow_together():
    deltas: list[dict] = [
        {"role": "assistant", "content": ""},
        {"content": "I "},
        {"content": "look."},
        {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "bash", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"command": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"ls"}'}}]},
        {},
    ]
    ends = [None] * 6 + ["tool_calls"]
    chunks = [
        event({"id": "x", "model": "m", "usage": None, "choices": [{"index": 0, "delta": d, "finish_reason": end}]})
        for d, end in zip(deltas, ends, strict=True)
    ]
    (choice,) = whole_of("openai", b"".join(chunks) + event(DONE))["choices"]
    assert choice["message"] == {"role": "assistant", "content": "I look.", "tool_calls": [CALL]}
    assert choice["finish_reason"] == "tool_calls"
