"""mini-swe-agent, unchanged, inside the sandbox. Source: github.com/SWE-agent/mini-swe-agent, `run/mini.py`."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Outcome
from synthbench.executor.agents.environments import ENVIRONMENTS
from synthbench.executor.capture.agent_records import GrowingRecord
from synthbench.executor.capture.running import AgentCommand, AgentRun, run_agent
from synthbench.executor.domain.endings import AgentFailed, Ending, LimitReached, Submitted
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.inside import Mount

_ENVIRONMENT = ENVIRONMENTS["mini-swe-agent"]
_RECORD = "run.traj.json"
_ENV = {
    "MSWEA_CONFIGURED": "true",
    "MSWEA_SILENT_STARTUP": "1",
    "MSWEA_COST_TRACKING": "ignore_errors",
    "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",  # what may pass is waited for on this side of the socket
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
}
_LIMITS = {"LimitsExceeded": Outcome.STEP_LIMIT, "TimeExceeded": Outcome.TIME_LIMIT}
_TOLD_CHARACTERS = 300


class MiniSweAgentScaffold:
    """mini-swe-agent inside the sandbox.

    Argument, optional: `step_limit` of the agent's own; see `docs/agents.md`.
    """

    version = "mini-swe-agent-2.4.6/1"
    resumable = False

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """Return the version of the prompts, which are the agent's own and stand in its first request."""
        return Briefing(prompt_version="mini-swe-agent/2.4.6/mini.yaml")

    def mounts(self, settings: ExecutorSettings) -> Mapping[str, Mount]:
        """Return the agent's environment, with an interpreter."""
        return {_ENVIRONMENT.name: _ENVIRONMENT.mount(settings.agents_root)}

    async def run(self, world: World) -> None:
        """Run the agent to its end."""
        ran = await run_agent(world, _command(world), GrowingRecord(_RECORD, "messages").of_turn)
        record = ran.files.get(_RECORD, b"")
        if record:
            await world.recorder.keep(f"agent/{_RECORD}", record, "application/json")
        raise ending_of(ran, parse_object(record))


def ending_of(ran: AgentRun, record: Mapping[str, Any]) -> Ending:
    """Return the ending that the agent's exit status means; its exit code is always 0.

    Args:
        ran: how its process ended.
        record: its trajectory; empty where it wrote none.
    """
    info = as_object(record.get("info"))
    status = str(info.get("exit_status") or "")
    if ran.stopped is not None or ran.overflow or not status:
        usual = ran.ending()
        return AgentFailed("the agent ended without an exit status") if isinstance(usual, Submitted) else usual
    if status == "Submitted":
        return Submitted(str(info.get("submission") or "")[:_TOLD_CHARACTERS])
    if status in _LIMITS:
        return LimitReached(_LIMITS[status], f"a limit of the agent's own: {status}")
    last = [as_object(message) for message in as_list(record.get("messages"))[-1:]]
    problem = "".join(str(as_object(message.get("extra")).get("exception_str") or "") for message in last)
    return AgentFailed(f"{status}: {problem[:_TOLD_CHARACTERS]}" if problem else status)


def _command(world: World) -> AgentCommand:
    settings, arguments = world.settings, world.rollout.scaffold_args
    own = {
        "agent": {"cost_limit": 0, "step_limit": _steps(arguments.get("step_limit", "0"))},
        "environment": {"timeout": int(settings.tool_timeout_seconds)},
        "model": {"model_name": f"openai/{world.model.route}", "cost_tracking": "ignore_errors"},
    }
    start = resources.files("synthbench.executor.scaffolds.mini").joinpath("start.py").read_text("utf-8")
    return AgentCommand(
        script=_ENVIRONMENT.command(
            settings.agents_root,
            '"$SYNTHBENCH_AGENT_FOLDER/start.py"',
            isolated=world.sandbox.isolation.isolated,
        ),
        env=_ENV,
        files={"start.py": start, "own.yaml": json.dumps(own), "instruction.md": world.package.instruction},
        send=[_RECORD],
    )


def _steps(text: str) -> int:
    if not text.isdecimal():
        raise AgentFailed(f"step_limit: a number of steps, not {text!r}")
    return int(text)
