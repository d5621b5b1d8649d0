"""One tool, `bash`, until the model calls none. All state of the scaffold is in its steps: it can resume and fork."""

import json
from datetime import UTC, datetime
from typing import Any

from synthbench.contracts.loose import parse_object
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.executor.domain.endings import Submitted
from synthbench.executor.recorder import AgentTurn
from synthbench.executor.scaffold import Briefing, World
from synthbench.wire.turns import assistant_message, read_action, tool_messages

BASH = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Run a command in the workspace. Stop calling it when the task is done.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
    },
}


class BashLoopScaffold:
    """Follows `synthbench.executor.scaffold.Scaffold`."""

    version = "bash-loop-1"
    resumable = True

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """Return the record of the tools."""
        return Briefing(tools=json.dumps([BASH]), prompt_version="bash-loop/1")

    async def run(self, world: World) -> None:
        """Go on after the steps in `world.start`, if there are any, until the model calls no tool."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": world.package.instruction}]
        last: Step | None = None
        for last in world.start.steps:
            messages += _messages(last)
        world.model.resume(world.start.steps)
        while last is None or last.action.tool_calls:
            world.clock.check()
            last = await _take_turn(world, messages)
            messages += _messages(last)
        raise Submitted(last.action.message[:200])


async def _take_turn(world: World, messages: list[dict[str, Any]]) -> Step:
    started = datetime.now(UTC)
    answer = await world.model.ask(messages, [BASH], timeout=world.clock.remaining)
    action = read_action(answer.message)
    observations = [await _run(world, call) for call in action.tool_calls]
    timing = answer.timing.model_copy(update={"tool_seconds": sum((one.seconds for one in observations), 0.0)})
    return await world.recorder.record(
        AgentTurn(action, observations, started, usage=answer.usage, timing=timing, model_call=answer.call)
    )


async def _run(world: World, call: ToolCall) -> Observation:
    command = str(parse_object(call.arguments).get("command", ""))
    result = await world.sandbox.run(["sh", "-c", command], timeout=world.clock.remaining)
    output = result.stdout_text + result.stderr_text + f"\n[exit code {result.exit_code}]"
    return Observation(
        tool_call_id=call.id,
        content=output,
        total_bytes=len(output.encode()),
        exit_code=result.exit_code,
        seconds=result.seconds,
    )


def _messages(step: Step) -> list[dict[str, Any]]:
    return [assistant_message(step.action), *tool_messages(step.observations)]
