"""mini-swe-agent's `*.traj.json`, of 1.x (commands in text) and 2.x (tool calls)."""

import json
import re
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.records import Outcome
from synthbench.datasets.formats.foreign.building import (
    Foreign,
    ForeignError,
    Source,
    moment,
    unknown_fields,
    usage_of,
)
from synthbench.datasets.formats.foreign.conversation import Message, Told, cut

_OUTCOMES = {
    "Submitted": Outcome.UNSOLVED,
    "submitted": Outcome.UNSOLVED,
    "LimitsExceeded": Outcome.STEP_LIMIT,
    "TimeExceeded": Outcome.TIME_LIMIT,
    "ContextWindowExceededError": Outcome.TOKEN_LIMIT,
}
_VERSIONS = ("mini-swe-agent-1", "mini-swe-agent-1.", "mini-swe-agent-2")
_CODE = re.compile(r"<returncode>(-?\d+)</returncode>")


def read_mini(document: Any, source: Source) -> Foreign:  # noqa: ARG001 - as the other readers
    """Read one.

    Raises:
        ForeignError: it is none, or of another version.
    """
    found = as_object(document)
    version = str(found.get("trajectory_format") or "mini-swe-agent-1")
    if not version.startswith(_VERSIONS):
        raise ForeignError(f"trajectory_format {version[:60]!r}: known are 1 and 2 of mini-swe-agent")
    messages, info = as_list(found.get("messages")), as_object(found.get("info"))
    if not messages:
        raise ForeignError("it has no messages")
    status = str(info.get("exit_status") or "")
    ends = [one for one in messages if as_object(one).get("role") == "exit"]
    talk = cut([one for one in messages if as_object(one).get("role") != "exit"], _told, _exit_code)
    config = as_object(info.get("config"))
    model = str(as_object(config.get("model")).get("model_name") or "")
    return Foreign(
        scaffold="mini-swe-agent",
        version=f"mini-swe-agent-{info.get('mini_version')}" if info.get("mini_version") else version,
        model=next((step.model_call.model for step in talk.steps if step.model_call and step.model_call.model), model),
        task=str(found.get("instance_id") or ""),
        instruction=talk.instruction,
        system_prompt=talk.system_prompt,
        steps=talk.steps,
        outcome=_OUTCOMES.get(status, Outcome.AGENT_ERROR),
        detail=f"exit_status {status or 'is not told'}",
        patch=str(info.get("submission") or ""),
        started_at=_time(messages, first=True),
        finished_at=_time(messages, first=False),
        left_out=talk.left_out
        + unknown_fields("", found, {"info", "messages", "trajectory_format", "instance_id"})
        + unknown_fields("info.", info, {"exit_status", "submission", "mini_version"})
        + unknown_fields("messages[exit].", as_object(ends[-1]) if ends else {}, {"role"}),
    )


def _told(message: Message) -> Told:
    extra = as_object(message.get("extra"))
    response = as_object(extra.get("response"))
    usage = as_object(response.get("usage"))
    return Told(
        response=json.dumps(response, ensure_ascii=False) if response else "",
        model=str(response.get("model") or ""),
        usage=usage_of(usage, cost_usd=extra.get("cost")),
        at=extra.get("timestamp", response.get("created")),
        native=json.dumps(message, ensure_ascii=False),
    )


def _exit_code(content: str) -> int | None:
    code = _CODE.search(content[:100])
    if code:
        return int(code[1])
    try:
        told = as_object(json.loads(content)).get("returncode") if content.startswith("{") else None
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, int) else None


def _time(messages: list[Any], *, first: bool) -> Any:
    extras = [as_object(as_object(one).get("extra")) for one in messages]
    times = [extra.get("timestamp", as_object(extra.get("response")).get("created")) for extra in extras]
    known = [one for one in map(moment, times) if one is not None and one.timestamp() > 0]
    return (known[0] if first else known[-1]) if known else None
