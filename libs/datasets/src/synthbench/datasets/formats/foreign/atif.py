"""Reads ATIF documents; those of our own export are read back whole."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from synthbench.contracts.loose import as_object
from synthbench.contracts.records import Outcome, Usage
from synthbench.contracts.steps import Step
from synthbench.datasets.formats.atif import Atif, AtifResult, AtifStep, AtifTrajectory
from synthbench.datasets.formats.atif_mapping import LEFT_OUT, from_atif
from synthbench.datasets.formats.atif_steps import ours
from synthbench.datasets.formats.cleaning import valid_json
from synthbench.datasets.formats.foreign.building import (
    ForeignDocument,
    ForeignError,
    ForeignTrajectory,
    Source,
    first_problem,
)
from synthbench.datasets.formats.foreign.conversation import (
    Message,
    StepsOfConversation,
    TurnDetails,
    cut_into_steps,
)
from synthbench.datasets.formats.foreign.fields import count_of, microusd_of, usage_of_the_whole
from synthbench.datasets.formats.foreign.own import OwnRecord
from synthbench.datasets.formats.provenance import OURS

_READ = ("ATIF-v1.5", "ATIF-v1.6", "ATIF-v1.7", "ATIF-v1.8")
_CARRIED: Mapping[str, set[str]] = {
    "": {"schema_version", "trajectory_id", "agent", "steps", "final_metrics"},
    "agent.": {"name", "version", "model_name", "tool_definitions"},
    "steps[].": {
        "step_id", "timestamp", "source", "message", "model_name", "reasoning_content", "tool_calls", "observation",
        "metrics", "llm_call_count",
    },
    "steps[].tool_calls[].": {"tool_call_id", "function_name", "arguments"},
    "steps[].observation.results[].": {"source_call_id", "content"},
    "steps[].metrics.": {"prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd"},
    "final_metrics.": {
        "total_prompt_tokens", "total_completion_tokens", "total_cached_tokens", "total_cost_usd", "total_steps",
    },
}  # fmt: skip
"""The fields of each object that have a place in the record."""


def read_atif(document: Any, source: Source) -> ForeignDocument:  # noqa: ARG001 - as the other readers
    """Read an ATIF document.

    Raises:
        ForeignError: it is no ATIF, breaks the format's rules, or is of a version that we do not know.
    """
    found = as_object(document)
    version = str(found.get("schema_version"))
    if version not in _READ:
        raise ForeignError(f"schema_version {version[:40]!r}: known are {', '.join(_READ)}")
    try:
        read = AtifTrajectory.model_validate({**as_object(valid_json(found)), "schema_version": _READ[-1]})
    except ValidationError as error:
        raise ForeignError(first_problem(error)) from error
    if OURS in (read.extra or {}):
        return _ours(read)
    return _of_others(read)


def _ours(read: AtifTrajectory) -> OwnRecord:
    try:
        record = from_atif(read)
    except ValidationError as error:
        raise ForeignError(f"extra.{OURS}: {first_problem(error)}") from error
    except ValueError as error:
        raise ForeignError(f"extra.{OURS}: {str(error).splitlines()[0]}") from error
    counts = as_object(ours(read.extra).get(LEFT_OUT)).items()
    return OwnRecord(record, Counter({str(name): count_of(count) or 0 for name, count in counts}))


def _of_others(read: AtifTrajectory) -> ForeignTrajectory:
    conversation = _conversation(read)
    agent = [step for step in read.steps if step.source == "agent"]
    metrics = read.final_metrics
    return ForeignTrajectory(
        scaffold=read.agent.name,
        version=read.agent.version,
        model=read.agent.model_name or next((step.model_name for step in agent if step.model_name), ""),
        task=read.trajectory_id or "",
        instruction=conversation.instruction,
        system_prompt=conversation.system_prompt,
        tools=json.dumps(read.agent.tool_definitions or [], ensure_ascii=False),
        steps=conversation.steps,
        usage=usage_of_the_whole(
            sum((step.usage for step in conversation.steps), Usage()),
            input_tokens=metrics.total_prompt_tokens,
            cached_tokens=metrics.total_cached_tokens,
            output_tokens=metrics.total_completion_tokens,
            cost_usd=metrics.total_cost_usd,
        )
        if metrics
        else None,
        outcome=Outcome.UNSOLVED,
        detail="ATIF; nobody says how it ended",
        started_at=_times(conversation.steps)[0],
        finished_at=_times(conversation.steps)[1],
        left_out=conversation.left_out + Counter(_left_out(read)),
    )


def _times(steps: list[Step]) -> tuple[Any, Any]:
    known = [step for step in steps if step.started_at.timestamp() > 0]
    return (known[0].started_at, known[-1].finished_at) if known else (None, None)


def _conversation(read: AtifTrajectory) -> StepsOfConversation:
    """The steps as messages, cut into our steps: each turn of the agent with all that follows it."""
    by_turn: dict[int, AtifStep] = {}
    messages: list[Message] = []
    for step in read.steps:
        message: dict[str, Any] = {"role": step.source, "content": step.message}
        if step.source == "agent":
            message = {"role": "assistant", "content": step.message, "reasoning_content": step.reasoning_content}
            if step.tool_calls:
                message["tool_calls"] = [
                    {
                        "id": call.tool_call_id,
                        "type": "function",
                        "function": {
                            "name": call.function_name,
                            "arguments": json.dumps(call.arguments, ensure_ascii=False),
                        },
                    }
                    for call in step.tool_calls
                ]
            by_turn[id(message)] = step
        messages.append(message)
        messages += _answers(step)
    return cut_into_steps(messages, lambda message: _details(by_turn[id(message)], read.agent.model_name or ""))


def _answers(step: AtifStep) -> Iterator[Message]:
    """Messages of a step's results; results that name no call answer the free calls in their order, if all have one."""
    unnamed = [one for one in step.results if one.source_call_id is None]
    named = {one.source_call_id for one in step.results}
    free = [call.tool_call_id for call in step.tool_calls or [] if call.tool_call_id not in named]
    ids = dict(zip(map(id, unnamed), free, strict=True)) if len(unnamed) == len(free) else {}
    for result in step.results:
        if result.content is None and result.subagent_trajectory_ref and result.source_call_id is None:
            continue  # only a reference, which `left_out` names
        call_id = result.source_call_id or ids.get(id(result))
        if call_id is None:
            role = "user" if step.source == "agent" else step.source
            yield {"role": role, "content": _content(result)}
        else:
            yield {"role": "tool", "tool_call_id": call_id, "content": _content(result)}


def _content(result: AtifResult) -> Any:
    return "" if result.content is None else result.content


def _details(step: AtifStep, model: str) -> TurnDetails:
    metrics = step.metrics
    cost = microusd_of(metrics.cost_usd) if metrics else None
    asked = step.llm_call_count != 0
    return TurnDetails(
        model=step.model_name or model,
        usage=Usage(
            calls=(step.llm_call_count or 1) if asked else 0,
            input_tokens=count_of(metrics.prompt_tokens if metrics else None) or 0,
            cached_tokens=count_of(metrics.cached_tokens if metrics else None) or 0,
            output_tokens=count_of(metrics.completion_tokens if metrics else None) or 0,
            cost_microusd=cost or 0,
            cost_known=cost is not None or not asked,
        ),
        at=step.timestamp,
        native=json.dumps(step.model_dump(mode="json", exclude_none=True), ensure_ascii=False),
        asked=asked,
    )


def _left_out(read: AtifTrajectory) -> Iterator[str]:
    """Every field that is set and has no place in the record, once for each object that has it."""
    yield from _unmapped("", read)
    yield from _unmapped("agent.", read.agent)
    if read.final_metrics:
        yield from _unmapped("final_metrics.", read.final_metrics)
    for step in read.steps:
        yield from _unmapped("steps[].", step)
        if step.metrics:
            yield from _unmapped("steps[].metrics.", step.metrics)
        for call in step.tool_calls or []:
            yield from _unmapped("steps[].tool_calls[].", call)
        for result in step.results:
            yield from _unmapped("steps[].observation.results[].", result)


def _unmapped(where: str, found: Atif) -> Iterator[str]:
    for name in type(found).model_fields:
        if name not in _CARRIED[where] and getattr(found, name) is not None:
            yield f"{where}{name}"
