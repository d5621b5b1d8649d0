"""Both translations: whole conversations in the documented shapes, and every row of the tables in docs/gateway.md."""

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat import ChatCompletion
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from model_upstream import Answer, anthropic_body, anthropic_events, openai_body, openai_events
from synthbench.wire.refusal import Refusal
from synthbench.wire.sse import Splitter
from synthbench.wire.translate import (
    AnthropicToOpenAI,
    OpenAIToAnthropic,
    anthropic_answer,
    anthropic_request,
    openai_answer,
    openai_request,
)
from synthbench.wire.whole_answers import whole_of

DOCS = Path(__file__).resolve().parents[3] / "docs" / "gateway.md"
TO_ANTHROPIC = TypeAdapter(MessageCreateParamsNonStreaming)
TO_OPENAI = TypeAdapter(CompletionCreateParamsNonStreaming)
PIXEL = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}

OPENAI = {
    "model": "m", "max_tokens": 300, "temperature": 0.3, "stop": "END", "parallel_tool_calls": False,
    "tool_choice": "required",
    "messages": [
        {"role": "system", "content": "Be exact."},
        {"role": "user", "content": [
            {"type": "text", "text": "Which files are there, and what is in this picture?"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "list", "arguments": '{"path": "."}'}},
            {"id": "c2", "type": "function", "function": {"name": "read", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "a.py"},
        {"role": "tool", "tool_call_id": "c2", "content": "nothing"},
        {"role": "user", "content": "Go on."},
    ],
    "tools": [{"type": "function", "function": {"name": "list", "description": "List.", "parameters": SCHEMA}}],
}  # fmt: skip
ANTHROPIC = {
    "model": "m", "max_tokens": 300, "temperature": 0.3, "stop_sequences": ["END"],
    "system": [{"type": "text", "text": "Be exact."}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "Which files are there, and what is in this picture?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}]},
        {"role": "assistant", "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "c1", "name": "list", "input": {"path": "."}},
            {"type": "tool_use", "id": "c2", "name": "read", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "a.py"}]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "nothing"}]},
            {"type": "text", "text": "Go on."}]},
    ],
    "tools": [{"name": "list", "description": "List.", "input_schema": SCHEMA}],
}  # fmt: skip


def test_a_conversation_crosses_from_openai():
    made, dropped = anthropic_request(OPENAI)
    assert (made, dropped) == (ANTHROPIC, [])
    TO_ANTHROPIC.validate_python(made)


def test_a_conversation_crosses_from_anthropic():
    made, dropped = openai_request(ANTHROPIC)
    expected = json.loads(json.dumps(OPENAI))
    expected["stop"] = ["END"]
    expected["messages"][2]["tool_calls"][0]["function"]["arguments"] = '{"path":"."}'
    assert (made, dropped) == (expected, [])
    TO_OPENAI.validate_python(made)


def test_there_and_back_is_the_same():
    assert anthropic_request(openai_request(ANTHROPIC)[0])[0] == ANTHROPIC


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(Refusal, match="answers once"):
        anthropic_request({**OPENAI, "n": 2})
    made, dropped = anthropic_request({**OPENAI, "n": 1, "logprobs": False, "temperature": 1.5, "max_tokens": None})
    assert (made["temperature"], made["max_tokens"], dropped) == (1.0, 4096, ["request.temperature above 1"])


def test_arguments_that_are_no_json_are_kept_and_named():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{broken"}}
    given = {"messages": [{"role": "assistant", "tool_calls": [call]}]}
    made, dropped = anthropic_request(given)
    assert made["messages"][0]["content"][0]["input"] == {"arguments": "{broken"}
    assert dropped == ["tool_calls.arguments that are no JSON object"]


@pytest.mark.parametrize(
    ("asked", "effort", "lost"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 9000}}, "medium", ["request.thinking.budget_tokens"]),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "max", []),
        ({"thinking": {"type": "adaptive"}}, None, ["request.thinking"]),
        ({"thinking": {"type": "disabled"}}, None, []),
    ],
)
def test_how_much_to_think_carries_over_to_a_reasoning_model(asked: dict, effort: str | None, lost: list[str]):
    made, dropped = openai_request({**ANTHROPIC, **asked}, reasoning=True)
    assert (made.get("reasoning_effort"), dropped, made["max_completion_tokens"]) == (effort, lost, 300)


def test_a_system_message_in_between_stays_one():
    told = {"role": "system", "content": [{"type": "text", "text": "Be quick."}]}
    made, dropped = openai_request({"messages": [{"role": "user", "content": "Hi"}, told]})
    assert (made["messages"][1], dropped) == ({"role": "system", "content": "Be quick."}, [])


SAID = Answer("It rains.", [("weather", {"city": "Paris"}), ("time", {})], thinking="Hm.")


def test_answers_cross_both_ways():
    there, lost = openai_answer(anthropic_body({"model": "m"}, SAID))
    ChatCompletion.model_validate(there)
    assert lost == ["response.content.thinking.signature"]
    message = there["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("It rains.", "Hm.")
    back, lost = anthropic_answer(openai_body({"model": "m"}, SAID))
    Message.model_validate(back)
    assert lost == []
    assert [block["type"] for block in back["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    assert there["usage"]["prompt_tokens"] == 1000
    assert back["usage"]["input_tokens"] == 800


def objects(raw: bytes) -> list[dict]:
    return [event.object() for event in Splitter(1 << 20).feed(raw) if event.data != b"[DONE]"]


def test_streams_cross_both_ways():
    to_openai = AnthropicToOpenAI(wants_usage=True)
    raw = b"".join(anthropic_events({"model": "m"}, SAID))
    made = b"".join(to_openai.feed(data) for data in objects(raw)) + to_openai.end()
    chunks = objects(made)
    assert made.endswith(b"data: [DONE]\n\n")
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "It rains."
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Hm."
    assert chunks[-1]["usage"]["prompt_tokens"] == 1000
    assert set(to_openai.dropped) == {"response.content.thinking.signature"}

    to_anthropic = OpenAIToAnthropic()
    raw = b"".join(openai_events({"model": "m", "stream_options": {"include_usage": True}}, SAID))
    events = objects(b"".join(to_anthropic.feed(data) for data in objects(raw)) + to_anthropic.end())
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text", "tool_use", "tool_use"]
    assert sum(event["type"] == "content_block_stop" for event in events) == 4
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"]["cache_read_input_tokens"] == 200
    assert events[-1] == {"type": "message_stop"}


def test_interleaved_calls_come_one_after_the_other():
    def piece(index: int, text: str, **more: Any) -> dict:
        return {"choices": [{"delta": {"tool_calls": [{"index": index, "function": {"arguments": text}, **more}]}}]}

    translator = OpenAIToAnthropic()
    pieces = [piece(0, '{"p":', id="a"), piece(1, '{"q":', id="b"), piece(0, "1}"), piece(1, "2}")]
    stream = b"".join(map(translator.feed, pieces)) + translator.end()
    content = whole_of("anthropic", stream)["content"]
    assert [(block["id"], block["input"]) for block in content] == [("a", {"p": 1}), ("b", {"q": 2})]
    order = [event.object().get("index") for event in Splitter(9999).feed(stream)]
    assert order == [None, 0, 0, 0, 0, 1, 1, 1, 1, None, None]


# The tables. For each row: what to put into an otherwise plain request or answer.

TEXT = {"type": "text", "text": "Hi"}


def user(*parts: dict, **more: Any) -> dict:
    return {"messages": [{"role": "user", "content": list(parts), **more}]}


def call_turn(**more: Any) -> dict:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return {"messages": [{"role": "assistant", "content": None, "tool_calls": [call], **more}]}


FUNCTION: dict[str, Any] = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
FROM_OPENAI: dict[str, dict] = {
    "messages.system": {"messages": [{"role": "system", "content": "S"}]},
    "messages.developer": {"messages": [{"role": "developer", "content": "S"}]},
    "messages.user.text": user(TEXT),
    "messages.user.image_url": user({"type": "image_url", "image_url": {"url": "https://a/b.png"}}),
    "messages.user.input_audio": user(TEXT, {"type": "input_audio", "input_audio": {}}),
    "messages.user.file": user(TEXT, {"type": "file", "file": {}}),
    "messages.name": user(TEXT, name="eve"),
    "messages.assistant.tool_calls": call_turn(),
    "messages.assistant.reasoning_content": call_turn(reasoning_content="Hm"),
    "messages.tool": {"messages": [{"role": "tool", "tool_call_id": "c", "content": "r"}]},
    "max_tokens": {"max_tokens": 5}, "max_completion_tokens": {"max_completion_tokens": 5},
    "temperature": {"temperature": 0.5}, "top_p": {"top_p": 0.5}, "stop": {"stop": ["x"]}, "stream": {"stream": True},
    "user": {"user": "u"}, "tools": {"tools": [FUNCTION]},
    "tools.function.strict": {"tools": [{**FUNCTION, "function": {**FUNCTION["function"], "strict": True}}]},
    "tool_choice": {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
    "parallel_tool_calls": {"tools": [FUNCTION], "parallel_tool_calls": False},
    "logprobs": {"logprobs": True}, "seed": {"seed": 7}, "frequency_penalty": {"frequency_penalty": 1},
    "presence_penalty": {"presence_penalty": 1}, "logit_bias": {"logit_bias": {"5": 1}},
    "response_format": {"response_format": {"type": "json_object"}}, "reasoning_effort": {"reasoning_effort": "low"},
}  # fmt: skip


def turn(role: str, *blocks: dict) -> dict:
    return {"messages": [{"role": role, "content": list(blocks)}]}


RESULT = {"type": "tool_result", "tool_use_id": "c", "content": "r"}
TOOL = {"name": "f", "input_schema": SCHEMA}
FROM_ANTHROPIC: dict[str, dict] = {
    "system": {"system": "S"},
    "messages.user.text": turn("user", TEXT),
    "messages.user.image": turn("user", {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}),
    "messages.user.document": turn("user", TEXT, {"type": "document", "source": {}}),
    "messages.assistant.tool_use": turn("assistant", {"type": "tool_use", "id": "c", "name": "f", "input": {}}),
    "messages.assistant.thinking": turn("assistant", {"type": "thinking", "thinking": "Hm", "signature": "s"}, TEXT),
    "messages.user.tool_result": turn("user", RESULT),
    "messages.user.tool_result.is_error": turn("user", {**RESULT, "is_error": True}),
    "max_tokens": {"max_tokens": 5}, "temperature": {"temperature": 0.5}, "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 5},
    "stop_sequences": {"stop_sequences": ["x"]}, "stream": {"stream": True}, "metadata": {"metadata": {"user_id": "u"}},
    "tools": {"tools": [TOOL]}, "tools.web_search": {"tools": [{"type": "web_search", "name": "w"}]},
    "tools.strict": {"tools": [{**TOOL, "strict": True}]},
    "tool_choice": {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "f"}},
    "tool_choice.disable_parallel_tool_use": {
        "tools": [TOOL], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
    "output_config.effort": {"output_config": {"effort": "low"}},
    "output_config.format": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "cache_control": turn("user", {**TEXT, "cache_control": {"type": "ephemeral"}}),
    "service_tier": {"service_tier": "auto"},
}  # fmt: skip


def block(**fields: Any) -> dict:
    return {"content": [fields], "stop_reason": "end_turn", "usage": {"input_tokens": 1, "output_tokens": 1}}


ANSWERS_ANTHROPIC: dict[str, dict] = {
    "content.text": block(**TEXT),
    "content.tool_use": block(type="tool_use", id="c", name="f", input={}),
    "content.thinking": block(type="thinking", thinking="Hm", signature="s"),
    "content.thinking.signature": block(type="thinking", thinking="Hm", signature="s"),
    "content.redacted_thinking": block(type="redacted_thinking", data="x"),
    "content.text.citations": block(**TEXT, citations=[{}]),
    "stop_reason": block(**TEXT), "stop_sequence": {**block(**TEXT), "stop_sequence": "END"}, "usage": block(**TEXT),
}  # fmt: skip


def choice(**message: Any) -> dict:
    said = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    return {"choices": [said], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}


ANSWERS_OPENAI: dict[str, dict] = {
    "content": choice(content="Hi"), "refusal": choice(content=None, refusal="No"),
    "tool_calls": choice(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}}]),
    "reasoning_content": choice(content="Hi", reasoning_content="Hm"),
    "reasoning_details": choice(content="Hi", reasoning_details=[{"type": "reasoning.text", "text": "Hm"}]),
    "tool_calls.extra_content": choice(
        tool_calls=[{"id": "c", "function": {"name": "f", "arguments": "{}"}, "extra_content": {"google": {"x": 1}}}]
    ),
    "finish_reason": choice(content="Hi"), "usage": choice(content="Hi"),
    "logprobs": {**choice(), "choices": [{"message": {"content": "Hi"}, "logprobs": {"content": []}}]},
    "system_fingerprint": {**choice(content="Hi"), "system_fingerprint": "fp"},
}  # fmt: skip

TABLES = {
    "Requests, OpenAI to Anthropic": (FROM_OPENAI, anthropic_request),
    "Requests, Anthropic to OpenAI": (FROM_ANTHROPIC, openai_request),
    "Answers, Anthropic to OpenAI": (ANSWERS_ANTHROPIC, openai_answer),
    "Answers, OpenAI to Anthropic": (ANSWERS_OPENAI, anthropic_answer),
}


def rows(title: str) -> list[tuple[str, str]]:
    section = DOCS.read_text("utf-8").split(f"### {title}\n")[1].split("\n#")[0]
    return re.findall(r"^\| `([^`]+)` \| (?:`([^`]+)`|—) \|$", section, re.MULTILINE)


ROWS = [(title, source, target) for title in TABLES for source, target in rows(title)]


def test_the_tables_and_the_samples_name_the_same_fields():
    for title, (samples, _) in TABLES.items():
        assert [source for source, _ in rows(title)] == list(samples), title


@pytest.mark.parametrize(("title", "source", "target"), ROWS, ids=[f"{t.split(',')[1]} {s}" for t, s, _ in ROWS])
def test_each_row_is_true(title: str, source: str, target: str):
    samples, translate = TABLES[title]
    given = samples[source]
    made, dropped = translate({"messages": [], **given} if "Requests" in title else given)
    if not target:
        last = source.rpartition(".")[2]
        assert any(name.rpartition(".")[2] == last for name in dropped), dropped
        return
    assert dropped in ([], ["response.content.thinking.signature"]) or source == "stop_reason", dropped
    words = target.split(".")
    text = orjson.dumps(made).decode()
    assert f'"{words[0]}":' in text
    assert f'"{words[-1]}"' in text
