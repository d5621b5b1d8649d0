"""SWE-agent's `.traj`: an action and an observation a step."""

import json
from collections import Counter
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Outcome, Timing, Usage
from synthbench.contracts.steps import Action, ModelCall, Observation, State, Step, ToolCall
from synthbench.datasets.formats.foreign.building import (
    NEVER,
    Foreign,
    ForeignError,
    Source,
    as_text,
    unknown_fields,
)

_KNOWN = {"action", "observation", "response", "thought", "state", "execution_time", "query", "tool_calls"}
_OUTCOMES = {
    "exit_cost": Outcome.COST_LIMIT,
    "exit_context": Outcome.TOKEN_LIMIT,
    "exit_total_execution_time": Outcome.TIME_LIMIT,
    "exit_command_timeout": Outcome.AGENT_ERROR,
}


def read_swe_agent(document: Any, source: Source) -> Foreign:
    """Read one.

    Raises:
        ForeignError: it is none.
    """
    found = as_object(document)
    turns, info = as_list(found.get("trajectory")), as_object(found.get("info"))
    if not turns:
        raise ForeignError("its trajectory has no steps")
    history = [as_object(one) for one in as_list(found.get("history"))]
    status = str(info.get("exit_status") or "")
    left_out: Counter[str] = Counter()
    steps: list[Step] = []
    for number, one in enumerate(turns):
        turn = as_object(one)
        if "action" not in turn and "response" not in turn:
            raise ForeignError(f"trajectory[{number}] has no action and no response")
        left_out += unknown_fields("trajectory[].", turn, _KNOWN)
        steps.append(_step(turn, number))
    stats = as_object(info.get("model_stats"))
    if stats:
        left_out["info.model_stats: of the whole, not of steps"] += 1
    return Foreign(
        scaffold="swe-agent",
        version=f"swe-agent-{info.get('swe_agent_version')}" if info.get("swe_agent_version") else "",
        model=str(
            as_object(as_object(as_object(found.get("replay_config")).get("agent")).get("model")).get("name") or ""
        ),
        task=str(found.get("environment") or "") or source.file.partition(".")[0],
        instruction=_said(history, "user"),
        system_prompt=_said(history, "system"),
        steps=steps,
        outcome=_outcome(status),
        detail=f"exit_status {status or 'is not told'}",
        patch=as_text(info.get("submission")),
        left_out=left_out
        + unknown_fields("", found, {"trajectory", "history", "info", "environment", "replay_config"})
        + unknown_fields("info.", info, {"exit_status", "submission", "swe_agent_version", "model_stats"}),
    )


def _outcome(status: str) -> Outcome:
    if status == "submitted":
        return Outcome.UNSOLVED
    inner = status.removeprefix("submitted (").removesuffix(")")
    return _OUTCOMES.get(inner, Outcome.AGENT_ERROR)


def _said(history: list[dict[str, Any]], role: str) -> str:
    return next((as_text(one.get("content")) for one in history if one.get("role") == role), "")


def _step(turn: dict[str, Any], number: int) -> Step:
    action, seconds = as_text(turn.get("action")), turn.get("execution_time")
    state = turn.get("state")
    folder = (parse_object(state) if isinstance(state, str) else as_object(state)).get("working_dir")
    took = float(seconds) if isinstance(seconds, int | float) and seconds >= 0 else 0.0
    call = ToolCall(id=f"step_{number}", name="bash", arguments=json.dumps({"command": action}, ensure_ascii=False))
    response = as_text(turn.get("response"))
    query = as_list(turn.get("query"))
    return Step(
        started_at=NEVER,
        finished_at=NEVER,
        action=Action(message=as_text(turn.get("thought")) or response, tool_calls=[call] if action.strip() else []),
        observations=[
            Observation(
                tool_call_id=call.id if action.strip() else "", content=as_text(turn.get("observation")), seconds=took
            )
        ],
        state=State(cwd=str(folder or "")),
        usage=Usage(calls=1, cost_known=False),
        timing=Timing(tool_seconds=took),
        model_call=ModelCall(
            messages=json.dumps(query, ensure_ascii=False),
            response=json.dumps({"choices": [{"message": {"role": "assistant", "content": response}}]}),
            whole=number > 0,
        )
        if query
        else None,
        native=json.dumps({name: value for name, value in turn.items() if name != "query"}, ensure_ascii=False),
    )
