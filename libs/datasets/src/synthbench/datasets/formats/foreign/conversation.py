"""A conversation in OpenAI's messages, cut into steps: each turn of the assistant, and what it was answered."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Usage
from synthbench.contracts.steps import Action, ModelCall, Observation, State, Step, ToolCall
from synthbench.contracts.text import valid_text
from synthbench.datasets.formats.conversation import opening_texts
from synthbench.datasets.formats.foreign.building import ForeignError
from synthbench.datasets.formats.foreign.fields import (
    NEVER,
    as_text,
    moment,
    parts_left_out,
    unknown_fields,
)
from synthbench.wire.reasoning import reasoning_of
from synthbench.wire.turns import json_error

Message = Mapping[str, Any]
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_SENT = ("role", "content", "tool_calls", "tool_call_id", "name")
_KNOWN = {
    "role", "content", "tool_calls", "tool_call_id", "name", "extra", "thought",
    "reasoning_content", "reasoning", "reasoning_details", "thinking_blocks",
}  # fmt: skip


@dataclass
class StepsOfConversation:
    """The steps of a conversation, and what came before them."""

    system_prompt: str = ""
    instruction: str = ""
    steps: list[Step] = field(default_factory=list[Step])
    left_out: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True)
class TurnDetails:
    """Facts that a format has of an assistant's message beside the message itself."""

    response: str = ""
    """The raw response as text; where there is none, one is made of the message."""
    answered: Message = field(default_factory=dict[str, Any])
    """The message in the raw response: it may hold reasoning that the conversation does not go on with."""
    model: str = ""
    usage: Usage = Usage()
    at: object = None
    """Time of the model's answer: seconds since 1970, or ISO 8601."""
    native: str = ""
    asked: bool = True
    """Whether a model made the message."""


def plain_answer(message: Message) -> Observation:
    """Read an answer that has nothing but its text."""
    content = as_text(message.get("content"))
    return Observation(
        tool_call_id=str(message.get("tool_call_id") or ""),
        content=content,
        total_bytes=len(valid_text(content).encode()),
    )


def cut_into_steps(
    messages: Sequence[Any],
    details: Callable[[Message], TurnDetails],
    answer: Callable[[Message], Observation] = plain_answer,
) -> StepsOfConversation:
    """Cut messages into steps.

    Args:
        messages: as they were sent and answered.
        details: returns the format's facts of an assistant's message.
        answer: reads a message that is not the assistant's.

    Raises:
        ForeignError: a message has no known role.
    """
    found = StepsOfConversation()
    groups = _groups(messages, found)
    before = groups[0]
    found.system_prompt, found.instruction = opening_texts(before)
    new = [sent(message) for message in before]
    for number, group in enumerate(groups[1:]):
        turn, answers = group[0], group[1:]
        found.steps.append(_step(turn, number, new, [answer(one) for one in answers], details(turn), answers))
        new = [sent(message) for message in group]
    return found


def sent(message: Message) -> dict[str, Any]:
    """Return a message as it was in a request."""
    return {
        name: value for name, value in message.items() if name in _SENT and (value is not None or name == "content")
    }


def _groups(messages: Sequence[Any], found: StepsOfConversation) -> list[list[Message]]:
    """Group the messages: those before the first turn, then each turn with its answers."""
    groups: list[list[Message]] = [[]]
    for number, one in enumerate(messages):
        message = as_object(one)
        role = message.get("role")
        if role not in _ROLES:
            raise ForeignError(f"messages[{number}] has no role that is known: {str(role)[:40]!r}")
        found.left_out += unknown_fields("messages[].", message, _KNOWN)
        found.left_out += parts_left_out(message.get("content"))
        if role == "assistant":
            groups.append([])
        groups[-1].append(message)
    return groups


def _step(
    turn: Message,
    number: int,
    new: Sequence[Message],
    observations: list[Observation],
    details: TurnDetails,
    answers: Sequence[Message],
) -> Step:
    calls = [
        call_of(as_object(call), f"call_{number}_{position}")
        for position, call in enumerate(as_list(turn.get("tool_calls")))
    ]
    observations = paired(calls, observations, answers)
    codes = [seen.exit_code for seen in observations if seen.exit_code is not None]
    reasoning = reasoning_of(turn) or reasoning_of(details.answered)
    message = {**sent(turn), **({"reasoning_content": reasoning} if reasoning else {})}
    response = details.response or json.dumps({"choices": [{"message": message}]}, ensure_ascii=False)
    started = moment(details.at) or NEVER
    times = [at for one in answers if (at := moment(as_object(one.get("extra")).get("timestamp"))) is not None]
    return Step(
        started_at=started,
        finished_at=started if started == NEVER else max([started, *times]),
        action=Action(message=as_text(turn.get("content")), reasoning=reasoning, tool_calls=calls),
        observations=observations,
        state=State(exit_code=codes[-1] if codes else None),
        usage=details.usage,
        model_call=ModelCall(model=details.model, messages=json.dumps(list(new), ensure_ascii=False), response=response)
        if details.asked
        else None,
        native=details.native,
    )


def paired(calls: Sequence[ToolCall], observations: list[Observation], answers: Sequence[Message]) -> list[Observation]:
    """The observations; a tool's answer that names no call gets the first one that has no answer yet."""
    answered = {seen.tool_call_id for seen in observations}
    free = iter([call.id for call in calls if call.id not in answered])
    return [
        seen.model_copy(update={"tool_call_id": next(free, "")})
        if not seen.tool_call_id and one.get("role") in ("tool", "function")
        else seen
        for seen, one in zip(observations, answers, strict=True)
    ]


def call_of(call: Mapping[str, Any], spare_id: str) -> ToolCall:
    """A tool call of a message; `spare_id` where it has no id of its own."""
    function = as_object(call.get("function"))
    arguments = function.get("arguments", "{}")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(
        id=str(call.get("id") or spare_id), name=str(function.get("name") or ""), arguments=text, error=json_error(text)
    )
