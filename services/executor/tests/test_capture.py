"""What is read of agents' requests and of streamed answers, on both wires."""

import json

import pytest

from synthbench.executor.capture.streams import PassedStream
from synthbench.wire.agent_request import AgentRequest
from synthbench.wire.refusal import Refusal
from synthbench.wire.usage import usage_of
from synthbench.wire.whole_answers import whole_answer
from synthbench.wire.wires import WIRES

HELLO = {"role": "user", "content": "Hello"}


def asked(*messages: object, wire: str = "openai", **more: object) -> AgentRequest:
    return AgentRequest(WIRES[wire], {"messages": list(messages), **more})


@pytest.mark.parametrize(
    "again",
    [
        HELLO,
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": {"type": "ephemeral"}}]},
        {**HELLO, "name": None},
    ],
)
def test_the_same_message_in_other_clothes_goes_on(again):
    assert asked(again, {"role": "user", "content": "More"}).after(asked(HELLO)) == [
        {"role": "user", "content": "More"}
    ]


@pytest.mark.parametrize("other", [asked({**HELLO, "content": "Hi"}), asked(), asked(HELLO, wire="anthropic")])
def test_another_conversation_does_not(other):
    assert other.after(asked(HELLO)) is None


def test_results_come_before_what_the_user_says():
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]}
    result = {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "seen"}]}
    both = WIRES["openai"].observed([call, result, {"role": "user", "content": "Hurry."}])
    assert [(one.tool_call_id, one.content) for one in both] == [("a", "seen")]
    assert [one.content for one in WIRES["openai"].observed([call, {"role": "user", "content": "No."}])] == ["No."]
    assert not WIRES["anthropic"].observed([])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"returncode": 3, "output": ""}', 3),
        ('{"returncode": true}', None),
        ('{"returncode": 9e9}', None),
        ("3", None),
    ],
)
def test_an_exit_code_is_known_where_the_result_tells_it(content, code):
    [seen] = WIRES["openai"].observed([{"role": "tool", "tool_call_id": "a", "content": content}])
    assert seen.exit_code == code


def test_the_gateway_is_asked_for_the_route_and_for_a_usage():
    sent = json.loads(asked(HELLO, model="gpt", stream=True, stream_options={"x": 1}).outgoing("sim/expert"))
    assert (sent["model"], sent["stream_options"]) == ("sim/expert", {"x": 1, "include_usage": True})
    assert "stream_options" not in json.loads(asked(HELLO, wire="anthropic", stream=True).outgoing("r"))
    assert json.loads(asked(HELLO, model="gpt").base) == {"model": "gpt"}


EVENTS = [
    {"type": "message_start", "message": {"model": "claude", "content": [], "usage": {"input_tokens": 7}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "So."}},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "go"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"to": 1}'}},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]


def stream(events: list[dict]) -> bytes:
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


def test_a_stream_passes_whole_events_whatever_its_pieces():
    request = asked(HELLO, wire="anthropic", stream=True)
    body = stream(EVENTS[:-1]) + b": cost-microusd=5 cost-known=false\n\n" + stream(EVENTS[-1:])
    passing = PassedStream(request)
    out = b"".join(passing.feed(body[at : at + 11]) for at in range(0, len(body), 11))
    assert out == stream(EVENTS)
    assert (passing.whole, passing.cost, bytes(passing.raw)) == (True, (5, False), body)
    answer = whole_answer("anthropic", body, stream=True)
    action = WIRES["anthropic"].action_of(answer)
    assert (action.message, action.tool_calls[0].name, action.tool_calls[0].arguments) == ("So.", "go", '{"to": 1}')
    usage = usage_of("anthropic", answer)
    assert usage is not None
    assert (usage.calls, usage.input_tokens, usage.output_tokens) == (1, 7, 3)


@pytest.mark.parametrize("events", [EVENTS[:3], EVENTS[:5], []])
def test_a_stream_that_breaks_off_is_not_whole(events):
    passing = PassedStream(asked(HELLO, wire="anthropic", stream=True))
    passing.feed(stream(events))
    assert not passing.whole
    assert passing.cost == (0, False)


def test_a_call_that_broke_off_is_recorded_as_far_as_it_came():
    cut = {**EVENTS[4], "delta": {"type": "input_json_delta", "partial_json": '{"to'}}
    action = WIRES["anthropic"].action_of(whole_answer("anthropic", stream([*EVENTS[:4], cut]), stream=True))
    assert (action.message, action.tool_calls[0].arguments) == ("So.", '{"to')
    assert action.tool_calls[0].error


def test_errors_are_said_as_each_wire_says_them():
    refusal = Refusal(403, "step_limit", "enough")
    assert WIRES["openai"].refusal(refusal)["error"]["code"] == "step_limit"
    said = WIRES["anthropic"].refusal(refusal)
    assert (said["type"], said["error"]["type"]) == ("error", "permission_error")
