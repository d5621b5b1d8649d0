"""OpenHands: its agent server runs inside the sandbox; a bridge beside it carries one conversation to its end."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from synthbench.contracts.loose import parse_object
from synthbench.executor.agents.environments import ENVIRONMENTS
from synthbench.executor.capture.running import AgentCommand, AgentRun, Fetch, run_agent, seconds_of
from synthbench.executor.domain.endings import Ending
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.scaffolds.openhands.ending import ending_of
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.inside import Mount

_ENVIRONMENT = ENVIRONMENTS["openhands"]
_PYTHON = ("python3", "-I", "-S")
_EVENTS_SECONDS = 20.0
_KEPT = ("events.jsonl", "server.log")
_MODEL = "openai/synth-bench"
"""LiteLLM's name of a wire; the model is the attempt's route."""
_ENV = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OH_ENABLE_VSCODE": "false",
    "OH_ENABLE_BROWSER": "false",
    "OH_PRELOAD_TOOLS": "false",
    "OPENHANDS_SUPPRESS_BANNER": "1",
}


class OpenHandsScaffold:
    """OpenHands' agent server, driven through its API.

    Arguments, all optional: `url`, `start_seconds`, `idle_seconds`; see `docs/agents.md`.
    """

    version = "openhands-1.58.2/1"
    resumable = False

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """Return the version of the prompts, which are the agent's own and stand in its first request."""
        return Briefing(prompt_version="openhands/1.58.2")

    def mounts(self, settings: ExecutorSettings) -> Mapping[str, Mount]:
        """Return the agent's environment; none where a server is there already."""
        root = settings.agents_root
        return {_ENVIRONMENT.name: _ENVIRONMENT.mount(root)} if _ENVIRONMENT.installed(root) else {}

    async def run(self, world: World) -> None:
        """Carry one conversation to its end."""
        bridge = _text("synthbench.executor.scaffolds.openhands", "bridge.py")
        start = _text("synthbench.executor.agents", "start.py")
        command = AgentCommand(
            script=f'exec {" ".join(_PYTHON)} "$SYNTHBENCH_AGENT_FOLDER/bridge.py"',
            env=_ENV,
            files={"bridge.py": bridge, "start.py": start, "plan.json": json.dumps(_plan(world))},
            send=["end.json", *_KEPT],
            idle_seconds=seconds_of(world.rollout.scaffold_args, "idle_seconds", 300.0),
        )
        ran = await run_agent(world, command, _Events(world, bridge).of_turn)
        for name in _KEPT:
            if name in ran.files:
                await world.recorder.keep(f"agent/{name}", ran.files[name], "text/plain; charset=utf-8")
        raise _ending(ran)


def _ending(ran: AgentRun) -> Ending:
    usual = ran.ending()
    end = parse_object(ran.files.get("end.json", b""))
    if ran.stopped is not None or not end:
        return usual
    events = [parse_object(line) for line in ran.files.get("events.jsonl", b"").splitlines()]
    return ending_of(end, events, ran.overflow)


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath(name).read_text("utf-8")


class _Events:
    """Hands each step the events that came since the step before."""

    def __init__(self, world: World, source: str) -> None:
        self._world = world
        self._source = source
        self._last = ""

    async def of_turn(self, fetch: Fetch) -> str:  # noqa: ARG002 - they are asked of the server
        """Return the events of a turn as a JSON list; empty where there are none."""
        command = [*_PYTHON, "-c", self._source, "after", self._last]
        result = await self._world.sandbox.run(command, timeout=_EVENTS_SECONDS)
        found = [event for line in result.stdout_text.splitlines() if (event := parse_object(line))]
        if found:
            self._last = str(found[-1].get("id", ""))
        return json.dumps(found, ensure_ascii=False) if found else ""


def _plan(world: World) -> dict[str, Any]:
    """Return the plan for the bridge inside the sandbox."""
    arguments = world.rollout.scaffold_args
    task = f"{world.package.instruction}\n\nThe workspace is {world.sandbox.workdir}."
    llm = {"model": _MODEL, "base_url": "", "api_key": "none-is-needed", "usage_id": "agent", "num_retries": 0}
    return {
        "url": arguments.get("url", ""),
        "server": "" if arguments.get("url") else _server(world),
        "start_seconds": seconds_of(arguments, "start_seconds", 180.0),
        "conversation": {
            "agent": {
                "kind": "Agent",
                "llm": llm,
                "tools": [{"name": "terminal", "params": {}}, {"name": "file_editor", "params": {}}],
            },
            "workspace": {"kind": "LocalWorkspace", "working_dir": ""},
            "initial_message": {"role": "user", "content": [{"type": "text", "text": task}], "run": True},
            "max_iterations": world.clock.limits.max_steps + 1,
            "autotitle": False,
        },
    }


def _server(world: World) -> str:
    """Words for a shell inside that start an agent server.

    Raises:
        InfraFailure: it is not installed here.
    """
    root, isolated = world.settings.agents_root, world.sandbox.isolation.isolated
    _ENVIRONMENT.mount(root)
    start = _ENVIRONMENT.command(root, '"$SYNTHBENCH_AGENT_FOLDER/start.py"', isolated=isolated)
    return f"{start} openhands.agent_server"
