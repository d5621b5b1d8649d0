"""A conversation in OpenAI's messages, cut into steps: each turn of the assistant, and what it was answered."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.contracts.steps import Action, ModelCall, Observation, Step, ToolCall
from synthbench.datasets.formats.foreign.building import NEVER, ForeignError, as_text, moment, parts_left_out

Message = Mapping[str, Any]
_KNOWN = {"role", "content", "tool_calls", "tool_call_id", "reasoning_content", "reasoning", "name", "extra", "thought"}


@dataclass
class Conversation:
    """What is in it."""

    system_prompt: str = ""
    instruction: str = ""
    steps: list[Step] = field(default_factory=list[Step])
    left_out: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True)
class Told:
    """What a format says of an assistant's message beside the message itself."""

    response: str = ""
    model: str = ""
    usage: Usage = Usage()
    at: object = None
    native: str = ""


def cut(
    messages: Sequence[Any], told: Callable[[Message], Told], exit_code: Callable[[str], int | None]
) -> Conversation:
    """Cut messages into steps.

    Args:
        messages: as they were sent and answered.
        told: what is said of an assistant's message.
        exit_code: what an answer says of how a command ended.

    Raises:
        ForeignError: a message is none.
    """
    found = Conversation()
    turn: Message | None = None
    new: list[Message] = []
    """Of the request of the turn at hand: since the one before."""
    answers: list[Message] = []
    for number, one in enumerate(messages):
        message = as_object(one)
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool", "function"):
            raise ForeignError(f"messages[{number}] has no role that is known: {str(role)[:40]!r}")
        found.left_out += Counter(f"messages[].{name}" for name in message if name not in _KNOWN)
        found.left_out += parts_left_out(message.get("content"))
        if role == "assistant":
            if turn is not None:
                found.steps.append(_step(turn, new, answers, told(turn), exit_code))
                new = [_sent(turn), *map(_sent, answers)]
            else:
                new = list(map(_sent, answers))
            turn, answers = message, []
        else:
            if turn is None and role in ("system", "developer"):
                found.system_prompt += as_text(message.get("content"))
            elif turn is None and role == "user":
                found.instruction += ("\n\n" if found.instruction else "") + as_text(message.get("content"))
            answers.append(message)
    if turn is not None:
        found.steps.append(_step(turn, new, answers, told(turn), exit_code))
    return found


def _sent(message: Message) -> Message:
    """As it stood in the request."""
    kept = ("role", "content", "tool_calls", "tool_call_id", "name")
    return {name: message[name] for name in kept if message.get(name) is not None or name == "content"}


def _step(
    turn: Message,
    new: Sequence[Message],
    answers: Sequence[Message],
    told: Told,
    exit_code: Callable[[str], int | None],
) -> Step:
    at = moment(told.at) or NEVER
    observations = [_observation(answer, exit_code) for answer in answers]
    codes = [seen.exit_code for seen in observations if seen.exit_code is not None]
    calls = [_call(as_object(call), number) for number, call in enumerate(as_list(turn.get("tool_calls")))]
    response = told.response or json.dumps({"choices": [{"message": _sent(turn)}]}, ensure_ascii=False)
    step = Step(
        started_at=at,
        finished_at=at,
        action=Action(
            message=as_text(turn.get("content")),
            reasoning=as_text(turn.get("reasoning_content") or turn.get("reasoning")),
            tool_calls=calls,
        ),
        observations=observations,
        usage=told.usage,
        model_call=ModelCall(model=told.model, messages=json.dumps(list(new), ensure_ascii=False), response=response),
        native=told.native,
    )
    return step.model_copy(update={"state": step.state.model_copy(update={"exit_code": codes[-1] if codes else None})})


def _observation(answer: Message, exit_code: Callable[[str], int | None]) -> Observation:
    content = as_text(answer.get("content"))
    return Observation(
        tool_call_id=str(answer.get("tool_call_id") or ""),
        content=content,
        exit_code=exit_code(content),
        total_bytes=len(content.encode("utf-8", "replace")),
    )


def _call(call: Mapping[str, Any], number: int) -> ToolCall:
    function = as_object(call.get("function"))
    arguments = function.get("arguments", "{}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    error = None
    try:
        if not isinstance(json.loads(text), dict):
            error = "it is no object"
    except ValueError as problem:
        error = str(problem)
    return ToolCall(
        id=str(call.get("id") or f"call_{number}"), name=str(function.get("name") or ""), arguments=text, error=error
    )
