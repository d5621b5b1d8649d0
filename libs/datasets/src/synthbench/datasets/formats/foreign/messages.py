"""Conversations as chat fine-tuning has them: `{"messages": […], "tools": […]}`, a bare list, or a row of a dataset."""

import json
from typing import Any

from pydantic import ValidationError

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Outcome, TaskInfo, Usage
from synthbench.contracts.sampling import Sampling
from synthbench.datasets.formats.cleaning import finite
from synthbench.datasets.formats.foreign.building import ForeignError, ForeignTrajectory, Source, first_problem
from synthbench.datasets.formats.foreign.conversation import Message, TurnDetails, cut_into_steps
from synthbench.datasets.formats.foreign.fields import as_text, unknown_fields
from synthbench.datasets.formats.provenance import OURS

_KNOWN = {"messages", "tools", "instance_id", "model", "resolved", "patch", OURS}


def read_messages(document: Any, source: Source) -> ForeignTrajectory:
    """Read a conversation. `messages` and `tools` may be JSON in a text, as datasets have them.

    Raises:
        ForeignError: the document has no messages.
    """
    found: dict[str, Any] = as_object(document) or {"messages": document}
    messages, replaced = finite(_parsed(found.get("messages")))
    tools, replaced_too = finite(_parsed(found.get("tools")))
    if not as_list(messages):
        raise ForeignError("it has no messages")
    model = str(found.get("model") or "")
    conversation = cut_into_steps(as_list(messages), lambda message: _details(message, model))
    facts = as_object(found.get(OURS))
    resolved = found.get("resolved")
    left_out = conversation.left_out + replaced + replaced_too + unknown_fields("", found, _KNOWN)
    if tools is not None and not isinstance(tools, list):
        left_out["tools: no list"] += 1
    if tools in (None, []) and any(step.action.tool_calls for step in conversation.steps):
        left_out["tools: called, and their schemas are not told"] += 1
    return ForeignTrajectory(
        scaffold=str(facts.get("scaffold") or "unknown"),
        version=str(facts.get("scaffold_version") or ""),
        model=model,
        task=str(found.get("instance_id") or "") or f"{source.file}#{source.number}",
        own_task=_own_task(facts),
        instruction=_text(facts, "instruction", conversation.instruction),
        system_prompt=_text(facts, "system_prompt", conversation.system_prompt),
        tools=json.dumps(tools, ensure_ascii=False) if isinstance(tools, list) else "[]",
        steps=conversation.steps,
        outcome=_outcome(facts),
        detail=str(facts.get("detail") or "a conversation; nobody says how it ended"),
        resolved=resolved if isinstance(resolved, bool) else None,
        simulated=facts.get("simulated") is True,
        sampling=_sampling(facts),
        patch=str(found.get("patch") or ""),
        left_out=left_out,
    )


def _own_task(facts: dict[str, Any]) -> TaskInfo | None:
    if facts.get("task") is None:
        return None
    try:
        return TaskInfo.model_validate({"name": facts["task"], "digest": facts.get("task_digest")})
    except ValidationError as error:
        raise ForeignError(f"{OURS}.task: {first_problem(error)}") from error


def _sampling(facts: dict[str, Any]) -> Sampling:
    try:
        return Sampling.model_validate(facts.get("sampling") or {})
    except ValidationError as error:
        raise ForeignError(f"{OURS}.sampling: {first_problem(error)}") from error


def _text(facts: dict[str, Any], name: str, default: str) -> str:
    return default if facts.get(name) is None else as_text(facts[name])


def _outcome(facts: dict[str, Any]) -> Outcome:
    name = facts.get("outcome", Outcome.UNSOLVED)
    if name not in list(Outcome):
        raise ForeignError(f"{OURS}.outcome: {str(name)[:40]!r} is none")
    return Outcome(name)


def _details(message: Message, model: str) -> TurnDetails:  # noqa: ARG001 - a row says one thing of all its messages
    return TurnDetails(model=model, usage=Usage(calls=1, cost_known=False))


def _parsed(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ForeignError("its messages or tools are text that is no JSON") from error
