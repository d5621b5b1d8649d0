"""Documents of every format that is imported, at random: well-formed, and with all that their agents write."""

import json
from typing import Any

from hypothesis import strategies as st

from generated import records
from synthbench.contracts.steps import Action, ModelCall, Observation, Step, ToolCall
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.conversation import opening, turn_messages

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["ü\n\"'\\", "```bash\nls\n```", "<returncode>0</returncode>\n<output>\n</output>"]
)
WORDS = TEXTS.filter(lambda text: bool(text.strip()))
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers(0, 9) | st.none(), max_size=2)
COUNTS = st.integers(1, 10_000)
COSTS = st.integers(1, 9_999_999).map(lambda micro: micro / 1_000_000)


@st.composite
def turns(draw: st.DrawFn, *, tools: bool = True, reasoning: bool = True) -> list[dict[str, Any]]:
    """Turns of an assistant, each with its answers: the tools' first, then what the user said."""
    found: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 4))):
        calls = [
            {
                "id": f"c{number}.{position}",
                "type": "function",
                "function": {"name": draw(WORDS), "arguments": json.dumps(draw(ARGUMENTS), ensure_ascii=False)},
            }
            for position in range(draw(st.integers(0, 2)) if tools else 0)
        ]
        turn: dict[str, Any] = {"role": "assistant", "content": draw(TEXTS)}
        if calls:
            turn["tool_calls"] = calls
        if reasoning and draw(st.booleans()):
            turn["reasoning_content"] = draw(WORDS)
        found.append(turn)
        found += [{"role": "tool", "tool_call_id": call["id"], "content": draw(TEXTS)} for call in calls]
        found += [{"role": "user", "content": draw(TEXTS)} for _ in range(draw(st.integers(0 if calls else 1, 1)))]
    return found


@st.composite
def message_rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row of a data set of conversations."""
    begin = [{"role": "system", "content": draw(TEXTS)} for _ in range(draw(st.integers(0, 2)))]
    begin += [{"role": "user", "content": draw(TEXTS)} for _ in range(draw(st.integers(1, 2)))]
    row: dict[str, Any] = {"messages": begin + draw(turns()), "instance_id": draw(WORDS), "model": "vendor/m"}
    if draw(st.booleans()):
        row["resolved"] = draw(st.booleans())
    if draw(st.booleans()):
        row |= {"patch": draw(TEXTS), "tools": [{"type": "function", "function": {"name": "f"}}]}
    return row


@st.composite
def mini_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A `*.traj.json` of mini-swe-agent: of 1.x, or of 2.x where it has tool calls."""
    second = draw(st.booleans())
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": draw(TEXTS)},
        {"role": "user", "content": draw(TEXTS)},
    ]
    for message in draw(turns(tools=second, reasoning=False)):
        extra: dict[str, Any] = {}
        if message["role"] == "assistant":
            answered = dict(message)
            if draw(st.booleans()):
                answered["reasoning"] = draw(WORDS)
            usage = {"prompt_tokens": draw(COUNTS), "completion_tokens": draw(COUNTS), "cost": draw(COSTS)}
            extra = {"response": {"model": "vendor/m", "usage": usage, "choices": [{"message": answered}]}}
        elif second:
            extra = {"returncode": draw(st.integers(-1, 2)), "raw_output": draw(TEXTS), "timestamp": 1_760_000_000.5}
        messages.append({**message, "extra": extra} if extra else message)
    info: dict[str, Any] = {
        "exit_status": draw(st.sampled_from(["Submitted", "LimitsExceeded", ""])),
        "submission": draw(TEXTS),
    }
    if draw(st.booleans()):
        info["model_stats"] = {"instance_cost": draw(COSTS), "api_calls": draw(COUNTS)}
    return {"trajectory_format": "mini-swe-agent-1.1", "instance_id": draw(WORDS), "info": info, "messages": messages}


@st.composite
def swe_agent_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A `.traj` of SWE-agent: of 1.x with function calling, or of 0.x with commands in text and a demonstration."""
    calling = draw(st.booleans())
    history: list[dict[str, Any]] = [{"role": "system", "content": draw(TEXTS), "agent": "main"}]
    if draw(st.booleans()):
        history.append({"role": "user", "content": draw(TEXTS), "is_demo": True, "agent": "main"})
    history.append({"role": "user", "content": draw(TEXTS), "agent": "main"})
    entries: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        action, response, output = f"run {number} {draw(TEXTS)}", f"say {number} {draw(TEXTS)}", draw(TEXTS)
        thought = response if calling else draw(TEXTS)
        turn: dict[str, Any] = {"role": "assistant", "content": response, "thought": thought, "action": action}
        answer: dict[str, Any] = {"role": "user", "content": f"OBSERVATION: {output}"}
        if calling:
            function = {"name": "bash", "arguments": json.dumps({"command": action}, ensure_ascii=False)}
            turn["tool_calls"] = [{"id": f"t{number}", "type": "function", "function": function}]
            answer |= {"role": "tool", "tool_call_ids": [f"t{number}"]}
        history += [turn, answer]
        entries.append({"action": action, "observation": output, "response": response, "thought": thought})
    stats = {"instance_cost": draw(COSTS), "tokens_sent": draw(COUNTS), "tokens_received": draw(COUNTS), "api_calls": 3}
    config = json.dumps({"agent": {"model": {"name": "vendor/m"}}})
    return {
        "environment": "swe_main", "trajectory": entries, "history": history, "replay_config": config,
        "info": {"exit_status": "submitted", "submission": draw(TEXTS), "model_stats": stats},
    }  # fmt: skip


@st.composite
def atif_documents(draw: st.DrawFn) -> dict[str, Any]:
    """An ATIF document of somebody else."""
    steps: list[dict[str, Any]] = [{"source": "system", "message": draw(TEXTS)}] if draw(st.booleans()) else []
    steps.append({"source": "user", "message": draw(TEXTS)})
    for number in range(draw(st.integers(1, 3))):
        step: dict[str, Any] = {"source": "agent", "message": draw(TEXTS), "model_name": "vendor/m"}
        if draw(st.booleans()):
            call = {"tool_call_id": f"c{number}", "function_name": draw(WORDS), "arguments": draw(ARGUMENTS)}
            result = {"source_call_id": f"c{number}", "content": draw(TEXTS)}
            step |= {"tool_calls": [call], "observation": {"results": [result]}}
        if draw(st.booleans()):
            step["reasoning_content"] = draw(WORDS)
        step["metrics"] = {"prompt_tokens": draw(COUNTS), "completion_tokens": draw(COUNTS), "cost_usd": draw(COSTS)}
        steps.append(step)
        if draw(st.booleans()):
            steps.append({"source": "user", "message": draw(TEXTS)})
    final = {"total_prompt_tokens": draw(COUNTS), "total_cost_usd": draw(COSTS)}
    return {
        "schema_version": "ATIF-v1.6", "agent": {"name": "a", "version": "1"}, "trajectory_id": draw(WORDS),
        "steps": [{"step_id": number, **step} for number, step in enumerate(steps, 1)], "final_metrics": final,
    }  # fmt: skip


@st.composite
def own_documents(draw: st.DrawFn) -> dict[str, Any]:
    """A record of ours as JSON, whose requests are on record as the native scaffold's are, or not at all."""
    calls = st.just([]) | st.just([ToolCall(id="c", name="bash", arguments='{"command": "ls"}')])
    special: dict[str, st.SearchStrategy[Any]] = {"observations": st.just([])}
    steps = draw(st.lists(records(Step, special), min_size=1, max_size=3))
    names = st.sampled_from(["native", "vendor/m", "a b"])
    plain = {"scaffold": names, "route": names, "scaffold_version": names, "detail": names}
    tools = st.just("[]") | st.just('[{"type": "function", "function": {"name": "bash"}}]')
    whole = {**plain, "tools": tools, "steps": st.just([]), "imported": st.none()}
    trajectory: Trajectory = draw(records(Trajectory, whole))
    expected = opening(trajectory.context)
    recorded = draw(st.booleans())
    found: list[Step] = []
    for step in steps:
        action = Action(message=draw(WORDS), reasoning=draw(TEXTS), tool_calls=draw(calls))
        seen = Observation(tool_call_id="c" if action.tool_calls else "", content=draw(TEXTS), exit_code=1)
        call = ModelCall(model="m", messages=json.dumps(expected, ensure_ascii=False)) if recorded else None
        changes = {"kind": "turn", "action": action, "observations": [seen], "model_call": call}
        found.append(step.model_copy(update=changes))
        expected = turn_messages(action, [seen])
    return trajectory.model_copy(update={"steps": found}).to_dict()


DOCUMENTS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "messages": message_rows(),
    "mini-swe-agent": mini_documents(),
    "swe-agent": swe_agent_documents(),
    "atif": atif_documents(),
    "json": own_documents(),
}
