"""mini-swe-agent's `*.traj.json`, of 1.x (commands in text) and 2.x (tool calls)."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Outcome, Usage
from synthbench.contracts.steps import Observation, Step
from synthbench.contracts.text import valid_text
from synthbench.datasets.formats.foreign.building import ForeignError, ForeignTrajectory, Source
from synthbench.datasets.formats.foreign.conversation import Message, TurnDetails, cut_into_steps
from synthbench.datasets.formats.foreign.fields import (
    as_text,
    exit_code_of,
    moment,
    unknown_fields,
    usage_of,
    usage_of_the_whole,
)

_OUTCOMES = {
    "Submitted": Outcome.UNSOLVED,
    "submitted": Outcome.UNSOLVED,
    "LimitsExceeded": Outcome.STEP_LIMIT,
    "TimeExceeded": Outcome.TIME_LIMIT,
    "ContextWindowExceededError": Outcome.TOKEN_LIMIT,
}
_VERSIONS = ("mini-swe-agent-1", "mini-swe-agent-1.", "mini-swe-agent-2")
_CODE = re.compile(r"<returncode>(-?\d{1,10})</returncode>")
_NOT_ENDED = -1
"""The return code that 2.x writes down where a command did not end by itself."""
_ANSWER_EXTRA = {"returncode", "timestamp", "raw_output", "exception_info"}
_BASH = [
    {
        "type": "function",
        "function": {
            "name": "bash",
            "description": "Execute a bash command",
            "parameters": {
                "type": "object",
                "properties": {"command": {"type": "string", "description": "The bash command to execute"}},
                "required": ["command"],
            },
        },
    }
]
"""The one tool that 2.x offers; its files do not repeat it. Source: its `models/utils/actions_toolcall.py`."""


def read_mini(document: Any, source: Source) -> ForeignTrajectory:  # noqa: ARG001 - as the other readers
    """Read a trajectory of mini-swe-agent.

    Raises:
        ForeignError: it is none, or of another version.
    """
    found = as_object(document)
    version = str(found.get("trajectory_format") or "mini-swe-agent-1")
    if not version.startswith(_VERSIONS):
        raise ForeignError(f"trajectory_format {version[:60]!r}: known are 1 and 2 of mini-swe-agent")
    messages, info = [as_object(one) for one in as_list(found.get("messages"))], as_object(found.get("info"))
    if not messages:
        raise ForeignError("it has no messages")
    ends = [one for one in messages if one.get("role") == "exit"]
    end = ends[-1] if ends else {}
    exit_extra = as_object(end.get("extra"))
    status = str(info.get("exit_status") or exit_extra.get("exit_status") or "")
    submission = as_text(info.get("submission") or exit_extra.get("submission"))
    conversation = cut_into_steps([one for one in messages if one.get("role") != "exit"], _details, _answer)
    config, stats = as_object(info.get("config")), as_object(info.get("model_stats"))
    return ForeignTrajectory(
        scaffold="mini-swe-agent",
        version=f"mini-swe-agent-{info.get('mini_version')}" if info.get("mini_version") else version,
        model=_model_that_answered(conversation.steps) or str(as_object(config.get("model")).get("model_name") or ""),
        task=str(found.get("instance_id") or ""),
        instruction=conversation.instruction,
        system_prompt=conversation.system_prompt,
        tools=_tools(conversation.steps),
        steps=conversation.steps,
        usage=usage_of_the_whole(
            sum((step.usage for step in conversation.steps), Usage()),
            calls=stats.get("api_calls"),
            cost_usd=stats.get("instance_cost"),
        ),
        outcome=_OUTCOMES.get(status, Outcome.AGENT_ERROR),
        detail=f"exit_status {status or 'is not told'}",
        patch=submission,
        started_at=_time(messages, first=True),
        finished_at=_time(messages, first=False),
        left_out=conversation.left_out
        + unknown_fields("", found, {"info", "messages", "trajectory_format", "instance_id"})
        + unknown_fields("info.", info, {"exit_status", "submission", "mini_version", "model_stats"})
        + unknown_fields("info.model_stats.", stats, {"instance_cost", "api_calls"})
        + _left_out_of_answers(messages)
        + _left_out_of_end(end, {status, submission}),
    )


def _model_that_answered(steps: Sequence[Step]) -> str:
    """The model that the first raw response names; empty where none does."""
    return next((step.model_call.model for step in steps if step.model_call and step.model_call.model), "")


def _tools(steps: Sequence[Step]) -> str:
    names = {call.name for step in steps for call in step.action.tool_calls}
    return json.dumps(_BASH) if names == {"bash"} else "[]"


def _details(message: Message) -> TurnDetails:
    extra = as_object(message.get("extra"))
    response = as_object(extra.get("response"))
    choices = as_list(response.get("choices"))
    return TurnDetails(
        response=json.dumps(response, ensure_ascii=False) if response else "",
        answered=as_object(as_object(choices[0]).get("message")) if choices else {},
        model=str(response.get("model") or ""),
        usage=usage_of(response, cost_usd=extra.get("cost")),
        at=extra.get("timestamp", response.get("created")),
        native=json.dumps(message, ensure_ascii=False),
    )


def _answer(message: Message) -> Observation:
    """Read an answer of the environment: 2.x has the exit code in `extra`, 1.x in the text."""
    extra, shown = as_object(message.get("extra")), as_text(message.get("content"))
    code = exit_code_of(extra.get("returncode"))
    whole = _whole_output(extra, shown)
    return Observation(
        tool_call_id=str(message.get("tool_call_id") or ""),
        content=shown if whole is None else whole,
        shown=None if whole is None else shown,
        exit_code=_exit_code(shown) if code is None else code,
        error=_error(extra) if code == _NOT_ENDED else None,
        total_bytes=len(valid_text(shown if whole is None else whole).encode()),
    )


def _whole_output(extra: Message, shown: str) -> str | None:
    """The command's output, where the model was not shown all of it."""
    raw = extra.get("raw_output")
    return raw if isinstance(raw, str) and raw.strip() not in shown else None


def _error(extra: Message) -> str:
    """Why the command did not end by itself; `timeout` where no reason is given."""
    reason = " ".join(str(extra.get(name) or "") for name in ("exception_type", "exception_info")).strip().lower()
    if "not executed" in reason:
        return "not_executed"
    return "timeout" if not reason or "timeout" in reason or "timed out" in reason else "exception"


def _exit_code(content: str) -> int | None:
    code = _CODE.search(content[:100])
    if code:
        return exit_code_of(int(code[1]))
    try:
        return exit_code_of(as_object(json.loads(content)).get("returncode")) if content.startswith("{") else None
    except (ValueError, RecursionError):
        return None


def _left_out_of_answers(messages: Sequence[Message]) -> Counter[str]:
    """Count what answers have beside their text and the record has not; of turns `native` has everything."""
    found: Counter[str] = Counter()
    for message in messages:
        if message.get("role") in ("assistant", "exit"):
            continue
        extra, shown = as_object(message.get("extra")), as_text(message.get("content"))
        found += unknown_fields("messages[].extra.", extra, _ANSWER_EXTRA)
        reason = as_text(extra.get("exception_info"))
        found["messages[].extra.exception_info"] += reason.strip() not in shown
    return +found


def _left_out_of_end(end: Message, known: set[str]) -> Counter[str]:
    """Count what the last message has beside status and submission, which `info` has as well."""
    found = unknown_fields("messages[exit].", end, {"role", "content", "extra"})
    found += unknown_fields(
        "messages[exit].extra.", as_object(end.get("extra")), {"exit_status", "submission", "timestamp"}
    )
    if as_text(end.get("content")).strip() not in {"", *(one.strip() for one in known)}:
        found["messages[exit].content"] += 1
    return found


def _time(messages: Sequence[Message], *, first: bool) -> Any:
    extras = [as_object(one.get("extra")) for one in messages]
    times = [extra.get("timestamp", as_object(extra.get("response")).get("created")) for extra in extras]
    known = [one for one in map(moment, times) if one is not None and one.timestamp() > 0]
    return (known[0] if first else known[-1]) if known else None
