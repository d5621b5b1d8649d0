"""Conversations in the shapes of the providers' public documentation cross both translations, whole and streamed.

Each file of `golden/` names the pages that document its shapes (the values are ours), and holds, turn by turn, the
request, the answer, its events, and what the other wire makes of them. Everything is valid by the SDKs' own types.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from model_upstream import KEY, Played, two_wires
from synthbench.llm_gateway.domain import retries
from synthbench.wire.failures import failure_of_status, failure_within
from synthbench.wire.translate import anthropic_answer, anthropic_request, openai_answer, openai_request

FOLDER = Path(__file__).with_name("golden")
ERRORS = json.loads((FOLDER / "errors.json").read_text("utf-8"))["errors"]
FILES = {
    path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json")) if path.stem != "errors"
}
TURNS = [(name, file["documented"], turn) for name, file in FILES.items() for turn in file["turns"]]
IDS = [f"{name} {number}" for name, file in FILES.items() for number in range(len(file["turns"]))]
OTHER = {"openai": "anthropic", "anthropic": "openai"}
ROUTE = {"openai": "chat/small", "anthropic": "claude/small"}
VALID: dict[tuple[str, str], TypeAdapter] = {
    ("openai", "request"): TypeAdapter(CompletionCreateParamsNonStreaming),
    ("openai", "answer"): TypeAdapter(ChatCompletion),
    ("openai", "event"): TypeAdapter(ChatCompletionChunk),
    ("anthropic", "request"): TypeAdapter(MessageCreateParamsNonStreaming),
    ("anthropic", "answer"): TypeAdapter(Message),
    ("anthropic", "event"): TypeAdapter(RawMessageStreamEvent),
}
ANY_VALUE = {"id": "", "created": 0, "model": ""}
"""What the gateway makes up or the route decides."""


def events_of(turn: dict) -> list[dict]:
    """Without comments and pings, which say nothing."""
    return [event for event in turn["events"] if isinstance(event, dict) and event.get("type") != "ping"]


def plain(answer: dict) -> dict:
    """An answer without what differs from call to call; arguments parsed, for they are text of any spacing."""
    made = json.loads(json.dumps(answer)) | ANY_VALUE
    for choice in made.get("choices", []):
        choice["message"]["content"] = choice["message"].get("content") or None
        for call in choice["message"].get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
            call.pop("index", None)
    return without_nulls(made)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "wire", "turn"), TURNS, ids=IDS)
def test_the_translation_is_the_golden_one(name: str, wire: str, turn: dict):
    expected = turn["translated"]
    ask, answer = (anthropic_request, anthropic_answer) if wire == "openai" else (openai_request, openai_answer)
    assert ask(turn["request"]) == (expected["request"], expected["request_dropped"])
    made, dropped = answer(turn["answer"])
    made.pop("created", None)
    assert (made, dropped) == (expected["answer"], expected["answer_dropped"])
    VALID[wire, "request"].validate_python(turn["request"])
    VALID[OTHER[wire], "request"].validate_python(expected["request"])
    VALID[wire, "answer"].validate_python(turn["answer"])
    VALID[OTHER[wire], "answer"].validate_python({"created": 1, **made} if wire == "anthropic" else made)
    for event in events_of(turn):
        VALID[wire, "event"].validate_python(event)


async def ask_whole(gateway, wire: str, route: str, request: dict) -> dict:
    given = {key: value for key, value in request.items() if key not in ("model", "messages", "max_tokens")}
    messages: Any = request["messages"]
    if wire == "openai":
        if "max_tokens" in request:
            given["max_tokens"] = request["max_tokens"]
        client = gateway.openai(route)
        answer = await client.chat.completions.create(model=route, messages=messages, extra_body=given)
    else:
        client, most = gateway.anthropic(route), request["max_tokens"]
        answer = await client.messages.create(model=route, messages=messages, max_tokens=most, extra_body=given)
    return answer.model_dump(exclude_unset=True)


async def ask_streamed(gateway, wire: str, route: str, request: dict) -> tuple[list[dict], dict]:
    """The events, and what the SDK makes of them."""
    given = {key: value for key, value in request.items() if key not in ("model", "messages", "max_tokens")}
    messages: Any = request["messages"]
    if wire == "anthropic":
        client = gateway.anthropic(route)
        most = request["max_tokens"]
        raw_stream = await client.messages.create(
            model=route, messages=messages, max_tokens=most, stream=True, extra_body=given
        )
        raw = [event async for event in raw_stream]
        async with client.messages.stream(model=route, messages=messages, max_tokens=most, extra_body=given) as stream:
            final = await stream.get_final_message()
        return [event.model_dump(exclude_unset=True) for event in raw], final.model_dump(exclude_unset=True)
    if "max_tokens" in request:
        given["max_tokens"] = request["max_tokens"]
    given["stream_options"] = {"include_usage": True}
    made = await gateway.openai(route).chat.completions.create(
        model=route, messages=messages, stream=True, extra_body=given
    )
    state = ChatCompletionStreamState()
    chunks = [chunk async for chunk in made]
    for chunk in chunks:
        state.handle_chunk(chunk)
    final = state.current_completion_snapshot
    return [chunk.model_dump(exclude_unset=True) for chunk in chunks], final.model_dump(exclude_unset=True)


async def dropped_last(gateway) -> set[str]:
    return set((await gateway.calls())[-1]["dropped"])


async def test_on_its_own_wire_a_conversation_passes_untouched(gateway, upstream):
    for name, wire, turn in TURNS:
        upstream.play = Played(turn["answer"], turn["events"])
        route = ROUTE[wire]
        assert await ask_whole(gateway, wire, route, turn["request"]) == turn["answer"], name
        seen = upstream.seen[-1].body
        assert {**seen, "model": ""} == {**turn["request"], "model": ""}, name
        events, _ = await ask_streamed(gateway, wire, route, turn["request"])
        # Where a server gives two calls one index, each gets its own: `passed_on`.
        assert events == turn.get("passed_on", events_of(turn)), name
        assert await dropped_last(gateway) == set(), name


async def test_answers_cross_to_the_other_wire(gateway, upstream):
    """The caller speaks the other wire than the page: its answer is the golden one, whole and put together by the
    SDK from the stream."""
    for name, wire, turn in TURNS:
        expected, lost = turn["translated"]["answer"], set(turn["translated"]["answer_dropped"])
        request = turn["translated"]["request"]
        upstream.play = Played(turn["answer"], turn["events"])
        caller = OTHER[wire]
        assert plain(await ask_whole(gateway, caller, ROUTE[wire], request)) == plain(expected), name
        assert lost <= await dropped_last(gateway), name
        _, final = await ask_streamed(gateway, caller, ROUTE[wire], request)
        assert plain(final) == plain(expected), name
        assert lost <= await dropped_last(gateway), name


async def test_requests_cross_to_the_other_wire(gateway, upstream):
    """A provider of the other wire than the page sees the golden request, and may answer whole where it was asked for
    a stream."""
    for name, wire, turn in TURNS:
        expected = turn["translated"]
        answer = {"created": 1, **expected["answer"]} if wire == "anthropic" else expected["answer"]
        upstream.play = Played(answer, [])
        route = ROUTE[OTHER[wire]]
        whole = await ask_whole(gateway, wire, route, turn["request"])
        seen, wanted = upstream.seen[-1].body, dict(expected["request"])
        if wire == "openai" and not turn["request"].keys() & {"max_tokens", "max_completion_tokens"}:
            wanted["max_tokens"] = 500  # the model's own limit in models.toml
        assert {**seen, "model": ""} == {**wanted, "model": ""}, name
        assert set(expected["request_dropped"]) <= await dropped_last(gateway), name
        VALID[wire, "answer"].validate_python(whole)
        _, final = await ask_streamed(gateway, wire, route, turn["request"])
        assert plain(final) == plain(whole), name


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: f"{case[0]} {case[1]} {case[3]}")
def test_documented_errors_mean(case: list):
    _, status, body, code, told, again, fallback, unknown = case
    now = datetime.now(UTC)
    found = (
        failure_of_status(status, {}, json.dumps(body).encode(), now) if status != 200 else failure_within(body, now)
    )
    assert (found.refusal.code, found.refusal.status, found.again, found.fallback, found.unknown) == (
        code, told, again, fallback, unknown,
    )  # fmt: skip


async def test_documented_errors_inside_of_answers_reach_both_sdks(start_gateway, upstream, monkeypatch):
    """As the whole answer, as the only event, and after half an answer: the same code, and the cost unknown."""
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    monkeypatch.setattr(retries, "_FIRST_PAUSE", 0.02)
    begun = {wire: events_of(next(turn for _, its, turn in TURNS if its == wire))[:2] for wire in OTHER}
    async with start_gateway(two_wires(upstream.url)) as gateway:
        for wire, status, body, code, *_ in ERRORS:
            if status != 200:
                continue
            for caller in OTHER:
                for events in ([], [body], [*begun[wire], body]):
                    upstream.play = Played(body, events)
                    assert await gateway.ask(caller, ROUTE[wire], stream=bool(events), seconds=1) == code, body
                    call = (await gateway.calls())[-1]
                    assert (call["outcome"], call["usage"]["cost_known"]) == (code, False)
                    upstream.play = None
                    assert await gateway.ask(caller, ROUTE[wire]) == "ok"
