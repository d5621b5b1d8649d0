"""SWE-agent's `.traj` of 0.x and 1.x: an action and an observation a step, and the history that the model saw."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Outcome, Timing, Usage
from synthbench.contracts.steps import Action, ModelCall, Observation, State, Step, ToolCall
from synthbench.datasets.formats.foreign.building import ForeignError, ForeignTrajectory, Source
from synthbench.datasets.formats.foreign.conversation import call_of
from synthbench.datasets.formats.foreign.fields import (
    NEVER,
    as_text,
    seconds_of,
    unknown_fields,
    usage_of_the_whole,
)
from synthbench.wire.reasoning import reasoning_of

_KNOWN = {
    "action", "observation", "response", "thought", "state", "execution_time", "query", "messages", "tool_calls",
    "tool_call_ids", "thinking_blocks",
}  # fmt: skip
_STATS = {"instance_cost", "tokens_sent", "tokens_received", "api_calls"}
_OUTCOMES = {
    "exit_cost": Outcome.COST_LIMIT,
    "exit_context": Outcome.TOKEN_LIMIT,
    "exit_total_execution_time": Outcome.TIME_LIMIT,
    "exit_command_timeout": Outcome.AGENT_ERROR,
}
_DEFAULT_ENVIRONMENT = "swe_main"
"""What 0.x writes as `environment` of every task."""
_DEMONSTRATION = "Here is a demonstration"
"""How the default template begins a demonstration; the first files did not mark it."""


@dataclass(frozen=True)
class _EntryInHistory:
    """One entry of `trajectory`, with its message in the history."""

    entry: Mapping[str, Any]
    number: int
    history: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The assistant's message in the history; empty where the history has none."""
    shown: str | None = None
    """The environment's answer in the history."""
    request: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """All messages that were sent; empty where they are unknown."""


def read_swe_agent(document: Any, source: Source) -> ForeignTrajectory:
    """Read a `.traj` document.

    Raises:
        ForeignError: it is no such document.
    """
    found = as_object(document)
    entries, info = [as_object(one) for one in as_list(found.get("trajectory"))], as_object(found.get("info"))
    if not entries:
        raise ForeignError("its trajectory has no steps")
    for number, entry in enumerate(entries):
        if "action" not in entry and "response" not in entry:
            raise ForeignError(f"trajectory[{number}] has no action and no response")
    history = [as_object(one) for one in as_list(found.get("history"))]
    turns = _turns(entries, history)
    requests = [turn.request for turn in turns if turn.request]
    first_messages = history or (requests[0] if requests else [])
    model = _model(found)
    steps = [_step(turn, before, model) for turn, before in zip(turns, [None, *turns], strict=False)]
    stats, status = as_object(info.get("model_stats")), str(info.get("exit_status") or "")
    return ForeignTrajectory(
        scaffold="swe-agent",
        version=f"swe-agent-{info.get('swe_agent_version')}" if info.get("swe_agent_version") else "",
        model=model,
        task=_task(found, source),
        instruction=_opening(first_messages, "user"),
        system_prompt=_opening(first_messages, "system"),
        steps=steps,
        usage=usage_of_the_whole(
            sum((step.usage for step in steps), Usage()),
            calls=stats.get("api_calls"),
            input_tokens=stats.get("tokens_sent"),
            output_tokens=stats.get("tokens_received"),
            cost_usd=stats.get("instance_cost"),
        ),
        outcome=_outcome(status),
        detail=f"exit_status {status or 'is not told'}",
        patch=as_text(info.get("submission")),
        left_out=_left_out(found, info, turns, history),
    )


def _task(found: Mapping[str, Any], source: Source) -> str:
    """The task's id: SWE-agent names its files by it; the environment has the same name only since 1.0."""
    environment = str(found.get("environment") or "")
    by_file = source.file.endswith(".traj") or environment in ("", _DEFAULT_ENVIRONMENT)
    return source.stem if by_file else environment


def _model(found: Mapping[str, Any]) -> str:
    config = found.get("replay_config")
    agent = as_object((parse_object(config) if isinstance(config, str) else as_object(config)).get("agent"))
    return str(as_object(agent.get("model")).get("name") or "")


def _outcome(status: str) -> Outcome:
    if status == "submitted":
        return Outcome.UNSOLVED
    inner = status.removeprefix("submitted (").removesuffix(")")
    return _OUTCOMES.get(inner, Outcome.AGENT_ERROR)


def _is_demonstration(message: Mapping[str, Any]) -> bool:
    if message.get("is_demo") or message.get("message_type") == "demonstration":
        return True
    return message.get("role") == "user" and as_text(message.get("content")).lstrip().startswith(_DEMONSTRATION)


def _opening(messages: Sequence[Mapping[str, Any]], role: str) -> str:
    """Join the texts of a role before the first turn, without demonstrations."""
    texts: list[str] = []
    for message in messages:
        if _is_demonstration(message):
            continue
        if message.get("role") == "assistant":
            break
        if message.get("role") == role:
            texts.append(as_text(message.get("content")))
    return "\n\n".join(texts)


def _turns(entries: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> list[_EntryInHistory]:
    """Each entry with its place in the history: the next message of the assistant that says the same."""
    found: list[_EntryInHistory] = []
    start = 0
    for number, entry in enumerate(entries):
        place = next((at for at in range(start, len(history)) if _same(entry, history[at])), None)
        sent = [one for one in as_list(entry.get("query") or entry.get("messages")) if as_object(one).get("role")]
        if place is None:
            found.append(_EntryInHistory(entry, number, request=[_as_sent(as_object(one)) for one in sent]))
            continue
        after = as_object(history[place + 1]) if place + 1 < len(history) else {}
        answered = after.get("role") in ("tool", "user") and not _is_demonstration(after)
        request = [_as_sent(as_object(one)) for one in sent or history[:place]]
        shown = as_text(after.get("content")) if answered else None
        found.append(_EntryInHistory(entry, number, history[place], shown, request))
        start = place + 1
    return found


def _same(entry: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    if message.get("role") != "assistant" or _is_demonstration(message):
        return False
    pairs = ((entry.get("action"), message.get("action")), (entry.get("response"), message.get("content")))
    return any(as_text(one).strip() and as_text(one).strip() == as_text(other).strip() for one, other in pairs)


def _as_sent(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the history as the model's API takes it."""
    found = {name: message[name] for name in ("role", "content", "name") if message.get(name) is not None}
    if message.get("tool_calls"):
        found["tool_calls"] = message["tool_calls"]
    answered = message.get("tool_call_id") or next(iter(as_list(message.get("tool_call_ids"))), None)
    if message.get("role") == "tool" and answered:
        found["tool_call_id"] = answered
    return found


def _step(turn: _EntryInHistory, before: _EntryInHistory | None, model: str) -> Step:
    entry, state = turn.entry, turn.entry.get("state")
    folder = (parse_object(state) if isinstance(state, str) else as_object(state)).get("working_dir")
    took, output = seconds_of(entry.get("execution_time")), as_text(entry.get("observation"))
    calls = _calls(turn)
    reasoning = reasoning_of(entry) or reasoning_of(turn.history)
    return Step(
        started_at=NEVER,
        finished_at=NEVER,
        action=Action(
            message=as_text(entry.get("thought")) or as_text(entry.get("response")),
            reasoning=reasoning,
            tool_calls=calls,
        ),
        observations=[
            Observation(
                tool_call_id=calls[0].id if calls else "",
                content=output,
                shown=None if turn.shown in (None, output) else turn.shown,
                seconds=took,
            )
        ],
        state=State(cwd=str(folder or "")),
        usage=Usage(calls=1, cost_known=False),
        timing=Timing(tool_seconds=took),
        model_call=_model_call(turn, before, model, reasoning) if turn.request else None,
        native=json.dumps(
            {name: value for name, value in entry.items() if name not in ("query", "messages")}, ensure_ascii=False
        ),
    )


def _calls(turn: _EntryInHistory) -> list[ToolCall]:
    """The model's own calls; without function calling, the command that was read out of its text as one of `bash`."""
    own = [as_object(one) for one in as_list(turn.history.get("tool_calls") or turn.entry.get("tool_calls"))]
    if own:
        return [call_of(call, f"call_{turn.number}_{position}") for position, call in enumerate(own)]
    action = as_text(turn.entry.get("action"))
    arguments = json.dumps({"command": action}, ensure_ascii=False)
    return [ToolCall(id=f"step_{turn.number}", name="bash", arguments=arguments)] if action.strip() else []


def _model_call(turn: _EntryInHistory, before: _EntryInHistory | None, model: str, reasoning: str) -> ModelCall:
    """Make the model call: the request (only new messages where it continues the one before), and a raw response."""
    earlier = before.request if before else []
    grown = before is None or (bool(earlier) and turn.request[: len(earlier)] == earlier)
    message: dict[str, Any] = {"role": "assistant", "content": as_text(turn.entry.get("response"))}
    if own := turn.history.get("tool_calls") or turn.entry.get("tool_calls"):
        message["tool_calls"] = own
    if reasoning:
        message["reasoning_content"] = reasoning
    return ModelCall(
        model=model,
        messages=json.dumps(turn.request[len(earlier) :] if grown else turn.request, ensure_ascii=False),
        response=json.dumps({"choices": [{"message": message}]}, ensure_ascii=False),
        whole=not grown,
    )


def _left_out(
    found: Mapping[str, Any],
    info: Mapping[str, Any],
    turns: Sequence[_EntryInHistory],
    history: Sequence[Mapping[str, Any]],
) -> Counter[str]:
    left_out = (
        unknown_fields("", found, {"trajectory", "history", "info", "environment", "replay_config"})
        + unknown_fields("info.", info, {"exit_status", "submission", "swe_agent_version", "model_stats"})
        + unknown_fields("info.model_stats.", as_object(info.get("model_stats")), _STATS)
    )
    for turn in turns:
        left_out += unknown_fields("trajectory[].", turn.entry, _KNOWN)
    own = [one for one in history if one.get("role") == "assistant" and not _is_demonstration(one)]
    left_out["history[]: turns that fit no step"] += len(own) - sum(bool(turn.history) for turn in turns)
    if not any(turn.request for turn in turns):
        left_out["history[]: demonstrations"] += sum(map(_is_demonstration, history))
    if any(turn.history.get("tool_calls") or turn.entry.get("tool_calls") for turn in turns):
        left_out["tools: called, and their schemas are not told"] += 1
    return +left_out
