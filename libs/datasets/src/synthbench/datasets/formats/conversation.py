"""The conversation behind the steps of a trajectory, as OpenAI's messages. Pure."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.steps import Action, ModelCall, Observation, Step
from synthbench.contracts.trajectory import AttemptContext
from synthbench.datasets.formats.cleaning import valid_json
from synthbench.wire.turns import assistant_message, text_of

_ESCAPED_SURROGATE = "\\ud"
_ANTHROPIC_BLOCKS = {"tool_use", "tool_result", "thinking", "redacted_thinking"}
_REASONING = ("reasoning_content", "reasoning")


def opening(context: AttemptContext) -> list[dict[str, Any]]:
    """The first messages, from the context: the system prompt where there is one, then the instruction."""
    system = [{"role": "system", "content": context.system_prompt}] if context.system_prompt else []
    return [*system, {"role": "user", "content": context.instruction}]


def opening_texts(messages: Sequence[Any]) -> tuple[str, str]:
    """The system prompt and the instruction before the first turn, a blank line between two messages."""
    before = takewhile(lambda message: message.get("role") != "assistant", map(as_object, messages))
    texts = [(message.get("role"), text_of(message.get("content"))) for message in before]
    system = "\n\n".join(text for role, text in texts if role in ("system", "developer"))
    return system, "\n\n".join(text for role, text in texts if role == "user")


def turn_messages(action: Action, observations: Sequence[Observation]) -> list[dict[str, Any]]:
    """The assistant's message of one turn, then the answers to its calls, then what else the user said to it."""
    return [assistant_message(action), *_answers(observations, {call.id for call in action.tool_calls})]


def recorded_messages(turns: Sequence[Step]) -> list[Any] | None:
    """The last conversation that the model was sent, with the turns after it.

    Returns:
        None where the record does not hold it: no model was asked, a request is missing (a re-imported export keeps
        no raw requests), or it was asked on Anthropic's wire, whose messages no chat template takes.
    """
    called = [step.model_call for step in takewhile(lambda step: step.model_call is not None, turns)]
    if not called or any(step.model_call for step in turns[len(called) :]):
        return None
    messages: list[Any] = []
    for number, call in enumerate(called):
        assert call is not None
        new = list_in(call.messages)
        if on_anthropic_wire(call) or (not new and (number == 0 or call.whole)):
            return None
        if call.whole:
            messages.clear()
        messages += new
    for step in turns[len(called) - 1 :]:
        messages += _in_next_request(step)
    return messages


def messages_from_steps(context: AttemptContext, turns: Sequence[Step]) -> list[Any]:
    """The conversation, made from the context, actions and observations."""
    return [
        *opening(context),
        *(message for step in turns for message in turn_messages(step.action, step.observations)),
    ]


def with_reasoning(messages: Sequence[Any], turns: Sequence[Step]) -> list[Any]:
    """The messages, with `reasoning_content` at each turn whose reasoning is recorded and whose message has none.

    Turns are matched by text and ids of calls, from the end, as a shortened conversation lacks the first ones.
    """
    recorded: dict[object, list[str]] = defaultdict(list)
    for step in turns:
        recorded[_identity(_in_next_request(step)[0])].append(step.action.reasoning)
    found: list[Any] = []
    for message in reversed(messages):
        content = as_object(message)
        left = recorded.get(_identity(content)) if content.get("role") == "assistant" else None
        reasoning = left.pop() if left else ""
        told = any(content.get(name) for name in _REASONING)
        found.append({**content, "reasoning_content": reasoning} if reasoning and not told else message)
    return found[::-1]


def read_out_of_text(step: Step) -> dict[str, Any] | None:
    """The assistant's message of a turn whose calls were read out of its text; None where the model made the calls.

    In the conversation such calls are no tool calls, and their results are messages of the user.
    """
    if not step.action.tool_calls or step.model_call is None:
        return None
    choices = as_list(parse_object(step.model_call.response).get("choices"))
    message = as_object(as_object(choices[0]).get("message")) if choices else {}
    if not message or message.get("tool_calls") or message.get("function_call"):
        return None
    return {"role": "assistant", "content": message.get("content")}


def on_anthropic_wire(call: ModelCall) -> bool:
    """Whether a model was asked on Anthropic's wire, by its response, else by the request."""
    answer = call.response.lstrip()
    response, base = parse_object(answer), parse_object(call.base)
    if answer.startswith("data:") or "choices" in response:
        return False
    if answer.startswith("event:") or response.get("type") == "message" or "system" in base:
        return True
    if any("input_schema" in as_object(tool) for tool in as_list(base.get("tools"))):
        return True
    parts = (as_list(as_object(message).get("content")) for message in list_in(call.messages))
    return any(as_object(part).get("type") in _ANTHROPIC_BLOCKS for content in parts for part in content)


def list_in(text: str) -> list[Any]:
    """A JSON list in a text; empty where there is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return as_list(valid_json(found) if _ESCAPED_SURROGATE in text.lower() else found)


def _in_next_request(step: Step) -> list[dict[str, Any]]:
    """The messages of a turn as the next request would have them."""
    message = read_out_of_text(step)
    if message is None:
        return turn_messages(step.action, step.observations)
    return [message, *_answers(step.observations, set())]


def _answers(observations: Sequence[Observation], calls: set[str]) -> list[dict[str, Any]]:
    shown = [(seen.tool_call_id, seen.content if seen.shown is None else seen.shown) for seen in observations]
    tools = [{"role": "tool", "tool_call_id": name, "content": text} for name, text in shown if name in calls]
    return [*tools, *({"role": "user", "content": text} for name, text in shown if name not in calls)]


def _identity(message: Mapping[str, Any]) -> object:
    return text_of(message.get("content")), tuple(
        str(as_object(call).get("id")) for call in as_list(message.get("tool_calls"))
    )
