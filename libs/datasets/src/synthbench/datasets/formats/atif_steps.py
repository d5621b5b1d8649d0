"""Steps of the canonical trajectory as steps of ATIF, and back. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from synthbench.contracts.loose import as_object
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.contracts.trajectory import AttemptContext
from synthbench.datasets.formats.atif import AtifMetrics, AtifObservation, AtifResult, AtifStep, AtifToolCall
from synthbench.datasets.formats.conversation import opening, read_out_of_text, turn_messages
from synthbench.datasets.formats.provenance import OURS

_DERIVED = "derived"
"""Set where a request's new messages follow from the steps before it, and so are left out."""


def write_steps(steps: Sequence[Step], context: AttemptContext, first: int) -> list[AtifStep]:
    """Write each step as one of the agent, numbered from `first`."""
    names = _UniqueCallIds()
    calls = _model_calls(steps, context)
    return [
        _write(step, number, names, call)
        for number, (step, call) in enumerate(zip(steps, calls, strict=True), start=first)
    ]


def read_steps(steps: Sequence[AtifStep], context: AttemptContext) -> list[Step]:
    """Read back what `write_steps` wrote.

    Raises:
        ValueError: `write_steps` did not write these steps.
    """
    found: list[Step] = []
    expected = opening(context)
    for one in steps:
        content = _read(one)
        if as_object(content.get("model_call")).pop(_DERIVED, False):
            content["model_call"]["messages"] = json.dumps(expected, ensure_ascii=False)
        step = Step.model_validate(content)
        if step.kind == "turn":
            expected = turn_messages(step.action, step.observations)
        found.append(step)
    return found


def ours(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of our own object in an `extra`; empty where there is none."""
    return dict(as_object((extra or {}).get(OURS)))


def arguments_in(text: str) -> dict[str, Any] | None:
    """Parse a JSON object; None where the text is none, or holds NaN or half of a surrogate pair."""
    found = loaded(text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def loaded(text: str) -> object:
    """Parse a JSON value; None where the text is none, or holds NaN or half of a surrogate pair."""
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return found


class _UniqueCallIds:
    """Makes ids of tool calls unique in a document: models use some of them twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def free(self, name: str) -> str:
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}#{number}"
        self._taken.add(found)
        return found


def _model_calls(steps: Sequence[Step], context: AttemptContext) -> list[dict[str, Any] | None]:
    """Return for `extra` the model call of each step without its raw response; no message is repeated."""
    last = max((number for number, step in enumerate(steps) if step.kind == "turn"), default=-1)
    found: list[dict[str, Any] | None] = []
    expected = opening(context)
    for number, step in enumerate(steps):
        call = step.model_call
        rest: dict[str, Any] | None = None
        if call is not None:
            rest = call.model_dump(mode="json", exclude={"response"}, exclude_defaults=True)
            if step.kind == "turn" and call.messages == json.dumps(expected, ensure_ascii=False):
                del rest["messages"]
                rest[_DERIVED] = True
            if number == last and (message := read_out_of_text(step)):
                rest["response"] = json.dumps({"choices": [{"message": message}]}, ensure_ascii=False)
        found.append(rest)
        if step.kind == "turn":
            expected = turn_messages(step.action, step.observations)
    return found


def _write(step: Step, number: int, names: _UniqueCallIds, model_call: dict[str, Any] | None) -> AtifStep:
    calls = [(call, names.free(call.id)) for call in step.action.tool_calls]
    by_id = {call.id: name for call, name in reversed(calls)}
    usage = step.usage
    model_called = step.model_call is not None or usage.calls > 0
    rest = step.model_dump(
        mode="json",
        exclude={"action": True, "observations": True, "started_at": True, "native": True, "model_call": True},
        exclude_defaults=True,
    )
    rest["reward"] = step.reward
    if model_call is not None:
        rest["model_call"] = model_call
    if step.action.reasoning and not model_called:
        rest["reasoning"] = step.action.reasoning
    return AtifStep(
        step_id=number,
        timestamp=step.started_at.isoformat(),
        source="agent",
        message=step.action.message,
        model_name=(step.model_call.model or None) if step.model_call else None,
        reasoning_content=(step.action.reasoning or None) if model_called else None,
        tool_calls=[_write_call(call, name) for call, name in calls] or None,
        observation=AtifObservation(results=[_write_result(one, by_id) for one in step.observations])
        if step.observations
        else None,
        metrics=AtifMetrics(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            cost_usd=usage.cost_microusd / 1_000_000 if usage.cost_known else None,
        )
        if model_called
        else None,
        is_copied_context=True if step.copied_from else None,
        llm_call_count=1 if model_called else 0,
        extra={OURS: rest},
    )


def _read(step: AtifStep) -> dict[str, Any]:
    rest = ours(step.extra)
    if "model_call" in rest:
        rest["model_call"] = dict(as_object(rest["model_call"]))
    calls = {call.tool_call_id: _read_call(call) for call in step.tool_calls or []}
    reasoning = rest.pop("reasoning", step.reasoning_content or "")
    return {
        **rest,
        "started_at": step.timestamp,
        "action": {"message": step.message, "reasoning": reasoning, "tool_calls": list(calls.values())},
        "observations": [_read_result(result, calls) for result in step.results],
    }


def _write_call(call: ToolCall, name: str) -> AtifToolCall:
    arguments = arguments_in(call.arguments)
    rest: dict[str, Any] = {}
    if name != call.id:
        rest["id"] = call.id
    if call.error is not None:
        rest["error"] = call.error
    if arguments is None or json.dumps(arguments, ensure_ascii=False) != call.arguments:
        rest["arguments"] = call.arguments
    return AtifToolCall(
        tool_call_id=name, function_name=call.name, arguments=arguments or {}, extra={OURS: rest} if rest else None
    )


def _read_call(call: AtifToolCall) -> dict[str, Any]:
    plain = {"id": call.tool_call_id, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {**plain, "name": call.function_name, **ours(call.extra)}


def _write_result(seen: Observation, by_id: Mapping[str, str]) -> AtifResult:
    """Write an observation: its content is what the model was shown; a longer original is in `extra`."""
    rest = seen.model_dump(mode="json", exclude={"tool_call_id", "content", "shown"}, exclude_defaults=True)
    name = by_id.get(seen.tool_call_id)
    if name is None and seen.tool_call_id:
        rest["tool_call_id"] = seen.tool_call_id
    if seen.shown is not None:
        rest["content"] = seen.content
    shown = seen.content if seen.shown is None else seen.shown
    return AtifResult(source_call_id=name, content=shown, extra={OURS: rest} if rest else None)


def _read_result(result: AtifResult, calls: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rest = ours(result.extra)
    if "content" in rest:
        rest["shown"] = result.content
    call_id = calls[result.source_call_id]["id"] if result.source_call_id is not None else ""
    return {"content": result.content, "tool_call_id": call_id, **rest}
