"""The official SDKs, through the gateway, to a provider on each wire: whole and streamed, with tools and without."""

import json

import anthropic
import openai
import pytest

from model_upstream import CACHED, INPUT, OUTPUT

ROUTES = ["chat/small", "claude/small"]
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS: list = [
    {"type": "function", "function": {"name": name, "description": f"Get the {name}.", "parameters": WEATHER}}
    for name in ("weather", "time")
]
ANTHROPIC_TOOLS: list = [
    {"name": name, "description": f"Get the {name}.", "input_schema": WEATHER} for name in ("weather", "time")
]
COST = INPUT - CACHED + CACHED * 0.5 + OUTPUT * 10
"""Micro-dollars by the prices of the fixture."""


async def booked(gateway, number: int = -1) -> dict:
    call = (await gateway.calls())[number]
    usage = call["usage"]
    assert (usage["input_tokens"], usage["cached_tokens"], usage["output_tokens"]) == (INPUT, CACHED, OUTPUT)
    assert (call["outcome"], usage["cost_microusd"], usage["cost_known"]) == ("ok", COST, True)
    return call


@pytest.mark.parametrize("route", ROUTES)
async def test_openai_plain(gateway, upstream, route):
    client = gateway.openai(route)
    messages: list = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Does it rain?"}]
    answer = await client.chat.completions.create(model=route, messages=messages, max_tokens=50)
    assert answer.choices[0].message.content == "It is 11 degrees in Paris."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (INPUT, OUTPUT)
    assert answer.model == "small-2026-01-01"
    call = await booked(gateway)
    assert (call["wire"], call["stream"], call["try_number"]) == ("openai", False, 1)
    assert upstream.seen[0].body["model"] == "small"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("with_usage", [True, False])
async def test_openai_streamed(gateway, upstream, route, with_usage):
    client = gateway.openai(route)
    options: dict = {"stream_options": {"include_usage": True}} if with_usage else {}
    stream = await client.chat.completions.create(
        model=route, messages=[{"role": "user", "content": "Does it rain?"}], stream=True, **options
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "It is 11 degrees in Paris."
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [usage.prompt_tokens for usage in usages] == ([INPUT] if with_usage else [])
    call = await booked(gateway)
    assert call["stream"]
    assert call["first_token_seconds"] is not None


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_openai_tools_there_and_back(gateway, upstream, route, streamed):
    client = gateway.openai(route)
    messages: list = [{"role": "user", "content": "What is the weather, and the time?"}]
    given: dict = {"model": route, "messages": messages, "tools": OPENAI_TOOLS, "max_tokens": 400}
    if streamed:
        async with client.chat.completions.stream(**given) as stream:
            answer = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.create(**given)
    message = answer.choices[0].message
    assert answer.choices[0].finish_reason == "tool_calls"
    assert message.content == "I look."
    assert message.tool_calls
    calls = [(c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls if c.type == "function"]
    assert calls == [("weather", {"city": "Paris 0"}), ("time", {"city": "Paris 1"})]
    messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
    messages[-1]["tool_calls"] = [
        {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}}
        for c in message.tool_calls if c.type == "function"
    ]  # fmt: skip
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "11"} for call in message.tool_calls]
    last = await client.chat.completions.create(**given)
    assert last.choices[0].message.content == "It is 11 degrees in Paris."
    await booked(gateway)
    assert len(upstream.seen) == 2


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_anthropic_plain(gateway, upstream, route, streamed):
    client = gateway.anthropic(route)
    given: dict = {
        "model": route, "max_tokens": 50, "system": "Be short.",
        "messages": [{"role": "user", "content": "Does it rain?"}],
    }  # fmt: skip
    if streamed:
        async with client.messages.stream(**given) as stream:
            answer = await stream.get_final_message()
    else:
        answer = await client.messages.create(**given)
    assert [block.text for block in answer.content if block.type == "text"] == ["It is 11 degrees in Paris."]
    assert answer.stop_reason == "end_turn"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (INPUT - CACHED, CACHED, OUTPUT)
    call = await booked(gateway)
    assert (call["wire"], call["stream"]) == ("anthropic", streamed)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("streamed", [False, True])
async def test_anthropic_tools_there_and_back(gateway, upstream, route, streamed):
    client = gateway.anthropic(route)
    messages: list = [{"role": "user", "content": "What is the weather, and the time?"}]
    given: dict = {"model": route, "max_tokens": 400, "messages": messages, "tools": ANTHROPIC_TOOLS}
    if streamed:
        async with client.messages.stream(**given) as stream:
            answer = await stream.get_final_message()
    else:
        answer = await client.messages.create(**given)
    assert answer.stop_reason == "tool_use"
    uses = [block for block in answer.content if block.type == "tool_use"]
    assert [(use.name, use.input) for use in uses] == [("weather", {"city": "Paris 0"}), ("time", {"city": "Paris 1"})]
    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]})
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": "11"} for use in uses]
    messages.append({"role": "user", "content": results})
    last = await client.messages.create(**given)
    assert [block.text for block in last.content if block.type == "text"] == ["It is 11 degrees in Paris."]
    await booked(gateway)
    assert len(upstream.seen) == 2


async def test_the_lists_of_models(gateway):
    names = [model.id async for model in gateway.openai("chat/small").models.list()]
    assert names[:2] == ["chat/small", "claude/small"]
    assert "sim/expert" in names
    listed = [model.id async for model in gateway.anthropic("claude/small").models.list()]
    assert set(listed) == set(names)


async def test_refusals_are_the_sdks_own_errors(gateway):
    messages: list = [{"role": "user", "content": "Hello"}]
    with pytest.raises(openai.PermissionDeniedError, match="key is for 'chat/small'") as denied:
        await gateway.openai("chat/small").chat.completions.create(model="other", messages=messages)
    assert denied.value.code == "model_not_allowed"
    with pytest.raises(anthropic.PermissionDeniedError, match="key is for"):
        await gateway.anthropic("chat/small").messages.create(model="other", messages=messages, max_tokens=5)
    with pytest.raises(openai.AuthenticationError):
        await gateway.openai("chat/small", key="x").models.list()
    with pytest.raises(anthropic.AuthenticationError):
        await gateway.anthropic("chat/small", key="x").messages.create(model="a", messages=messages, max_tokens=5)
