"""Streams of servers that tell their tool calls apart in their own ways: one call is one call, for every reader."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from synthbench.wire.openai import OpenAIWire
from synthbench.wire.sse import DONE, Splitter, event
from synthbench.wire.tool_calls import CallIds
from synthbench.wire.translate import OpenAIToAnthropic, anthropic_answer
from synthbench.wire.whole_answers import whole_of
from synthbench.wire.wires import WIRES

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
READ, WRITE = ("read_file", '{"p": "{1}"}'), ("write_file", '{"p": "\\"}", "q": [2]}')


def stream(*deltas: dict, finish: str = "tool_calls") -> bytes:
    ends = [{"delta": delta, "finish_reason": None} for delta in deltas] + [{"delta": {}, "finish_reason": finish}]
    return b"".join(event({**HEAD, "choices": [{"index": 0, **end}]}) for end in ends) + event(DONE)


def piece(index: object = 0, name: str | None = None, arguments: object = "", **more: object) -> dict:
    function = {"arguments": arguments} | ({"name": name} if name is not None else {})
    return {"tool_calls": [{"function": function, **({} if index == "none" else {"index": index}), **more}]}


def halves(index: object, call: tuple[str, str], **more: object) -> list[dict]:
    """A call with its name and half of its arguments, and the rest without either."""
    name, text = call
    return [piece(index, name, text[:5], **more), piece(index, None, text[5:])]


def with_every_piece(index: object, call: tuple[str, str], **more: object) -> list[dict]:
    return [piece(index, call[0], part, **more) for part in (call[1][:4], call[1][4:9], call[1][9:])]


TWO_CALLS = {
    "an index each": [*halves(0, READ, id="a"), *halves(1, WRITE, id="b")],
    "one index": [*halves(0, READ, id="a"), *halves(0, WRITE, id="b")],
    "one index, whole calls": [piece(0, *READ, id="a"), piece(0, *WRITE, id="b")],
    "one index, whole calls without ids": [piece(0, *READ), piece(0, *WRITE)],
    "no index": [*halves("none", READ, id="a"), *halves("none", WRITE, id="b")],
    "no index, no ids": [*halves("none", READ), *halves("none", WRITE)],
    "an index that is none": [*halves(None, READ, id="a"), *halves(None, WRITE, id="b")],
    "an index below zero": [*halves(-1, READ, id="a"), *halves(-1, WRITE, id="b")],
    "an index as text": [*halves("0", READ, id="a"), *halves("1", WRITE, id="b")],
    "one id": [*halves(0, READ, id="a"), *halves(1, WRITE, id="a")],
    "one id and one index": [*halves(0, READ, id="a"), *halves(0, WRITE, id="a")],
    "empty ids": [*halves(0, READ, id=""), *halves(1, WRITE, id="")],
    "no ids": [*halves(0, READ, id=None), *halves(1, WRITE, id=None)],
    "id and name with every piece": [*with_every_piece(0, READ, id="a"), *with_every_piece(1, WRITE, id="b")],
    "id and name with every piece, one index": [
        *with_every_piece(0, READ, id="a"), *with_every_piece(0, WRITE, id="b"),
    ],
    "pieces of both in turn": [
        one for two in zip(halves(0, READ, id="a"), halves(1, WRITE, id="b"), strict=True) for one in two
    ],
    "two calls in one chunk": [{"tool_calls": [
        *piece(0, *READ, id="a")["tool_calls"], *piece(0, *WRITE, id="b")["tool_calls"]]}],
    "the id later": [piece(0, READ[0], ""), piece(0, None, "", id="a"), piece(0, None, READ[1]), piece(1, *WRITE)],
    "arguments as objects": [
        piece(0, READ[0], json.loads(READ[1]), id="a"), piece(0, WRITE[0], json.loads(WRITE[1]), id="b")],
    "another id from chunk to chunk": [piece(0, *READ, id="a"), piece(0, None, None, id="a"), piece(0, *WRITE, id="b")],
}  # fmt: skip


def ids() -> CallIds:
    return CallIds({"a0"}, lambda: "seed")


def passed_on(body: bytes) -> bytes:
    """The stream as the caller gets it."""
    tracker = OpenAIWire().tracker(ids())
    return b"".join(tracker.see(one).event.raw for one in Splitter(len(body) + 1).feed(body))


def calls_of(completion: dict) -> list[tuple[str, str, dict]]:
    calls = completion["choices"][0]["message"]["tool_calls"]
    return [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls]


@pytest.mark.parametrize("deltas", TWO_CALLS.values(), ids=TWO_CALLS)
def test_two_calls_are_two_calls_for_the_record_the_caller_and_the_other_wire(deltas: list[dict]):
    body = stream(*deltas)
    tracker = OpenAIWire().tracker(ids())
    other, translated = OpenAIToAnthropic(), b""
    for one in Splitter(len(body) + 1).feed(body):
        translated += other.feed(seen.data) if (seen := tracker.see(one)).data else b""
    found = calls_of(dict(tracker.answer))
    assert [(name, arguments) for _, name, arguments in found] == [(n, json.loads(text)) for n, text in (READ, WRITE)]
    assert len({call for call, _, _ in found}) == 2
    assert all(call for call, _, _ in found)

    record = whole_of("openai", passed_on(body))
    assert calls_of(record) == found

    state = ChatCompletionStreamState()
    for one in Splitter(len(body) + 1).feed(passed_on(body)):
        if one.data != DONE:
            state.handle_chunk(ChatCompletionChunk.model_validate(one.object()))
    assert calls_of(state.current_completion_snapshot.model_dump()) == found

    blocks = whole_of("anthropic", translated + other.end())["content"]
    assert [(block["id"], block["name"], block["input"]) for block in blocks] == found
    whole, _ = anthropic_answer(tracker.answer)
    assert [(block["id"], block["name"], block["input"]) for block in whole["content"]] == found


@pytest.mark.parametrize("deltas", TWO_CALLS.values(), ids=TWO_CALLS)
def test_a_stream_that_is_passed_on_passes_again_unchanged(deltas: list[dict]):
    once = passed_on(stream(*deltas))
    assert passed_on(once) == once


def test_three_calls_of_one_index_and_no_ids_stay_three():
    body = stream(*(piece(0, "f", f'{{"n": {number}}}') for number in range(3)))
    assert [arguments["n"] for _, _, arguments in calls_of(whole_of("openai", passed_on(body)))] == [0, 1, 2]


def test_ids_follow_from_the_seed_and_avoid_those_of_the_conversation():
    given = [CallIds({"a"}, lambda: "one"), CallIds({"a"}, lambda: "one"), CallIds({"a"}, lambda: "two")]
    first, again, other = ([ids.assign(name) for name in ("a", "", "b", "b")] for ids in given)
    assert first == again
    assert first[2] == "b"
    assert len(set(first)) == 4
    assert "a" not in first
    assert not set(first) & set(other) - {"b"}
    assert all(len(name) == 9 and name.isalnum() for name in first if name != "b")
    assert CallIds((), lambda: pytest.fail("nothing has to be made")).assign("x") == "x"


def test_ids_of_a_conversation_are_found_on_both_wires():
    openai = [{"role": "assistant", "tool_calls": [{"id": "a"}, {"id": None}]}, {"role": "tool", "tool_call_id": "a"}]
    blocks = [{"type": "text"}, {"type": "tool_use", "id": "b"}]
    assert WIRES["openai"].call_ids({"messages": openai}) == {"a"}
    assert WIRES["anthropic"].call_ids(
        {"messages": [{"role": "assistant", "content": blocks}, {"role": "user", "content": "x"}]}
    ) == {"b"}


@pytest.mark.parametrize("arguments", ['{"command": "ls"}', {"command": "ls"}])
def test_a_whole_answer_gets_ids_where_they_are_missing_or_alike(arguments):
    given = [{"function": {"name": "bash", "arguments": arguments}, "id": name} for name in ("x", "x", "", None, "a0")]
    answer = {"choices": [{"message": {"tool_calls": given}}]}
    calls = OpenAIWire().settled(answer, ids())["choices"][0]["message"]["tool_calls"]
    assert calls[0]["id"] == "x"
    assert len({call["id"] for call in calls} - {"a0"}) == 5
    assert {call["function"]["arguments"] for call in calls} == {'{"command": "ls"}'}
    assert {call["type"] for call in calls} == {"function"}


def test_a_proper_answer_stays_the_same_object():
    call = {"id": "x", "type": "function", "function": {"name": "bash", "arguments": "{}"}}
    answer = {"choices": [{"message": {"tool_calls": [call]}}]}
    assert OpenAIWire().settled(answer, ids()) is answer
    proper = stream(piece(0, *READ, id="a", type="function"), piece(1, *WRITE, id="b", type="function"))
    assert passed_on(proper) == proper


JSON = st.recursive(
    st.none() | st.text(max_size=8) | st.integers(-9, 9), lambda j: st.lists(j, max_size=3), max_leaves=5
)
CALLS = st.lists(st.tuples(st.sampled_from(["f", "g"]), st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
                 min_size=1, max_size=4)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CALLS, st.data())
def test_any_calls_in_any_pieces_with_or_without_index_and_id_come_out_as_they_were(calls, data: st.DataObject):
    with_index, with_id = data.draw(st.booleans()), data.draw(st.booleans())
    deltas: list[dict] = []
    for number, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=3))})
        parts = [text[one:two] for one, two in pairwise(cuts)]
        index = number if with_index else data.draw(st.sampled_from([0, None, "none"]), label="index")
        deltas.append(piece(index, name, parts[0], **({"id": f"id{number}"} if with_id else {})))
        deltas += [piece(index, None, part) for part in parts[1:]]
    made = WIRES["openai"].assembler(ids())
    for one in Splitter(1 << 20).feed(stream(*deltas)):
        if one.data != DONE:
            made.feed(one.object())
    assert [(name, arguments) for _, name, arguments in calls_of(made.answer())] == calls
