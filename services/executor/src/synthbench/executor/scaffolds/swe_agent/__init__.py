"""SWE-agent, from a checkout of it, inside the sandbox: its "local deployment" is the sandbox itself."""

import json
from collections.abc import Mapping
from importlib import resources

from synthbench.contracts.loose import as_object, parse_object
from synthbench.contracts.records import Outcome
from synthbench.executor.agents.environments import ENVIRONMENTS
from synthbench.executor.capture.agent_records import GrowingRecord
from synthbench.executor.capture.running import AgentCommand, AgentRun, run_agent
from synthbench.executor.domain.endings import AgentFailed, Ending, LimitReached, Submitted
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.scaffolds.swe_agent.configuring import MODES, configuration
from synthbench.executor.scaffolds.swe_agent.ending import ending_of
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.inside import Mount

_ENVIRONMENT = ENVIRONMENTS["swe-agent"]
_RECORD = "run.traj"
_QUERY = "query"
"""Fields of the agent's steps that are left out: the step's `model_call` has the whole request already."""
_ENV = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "HF_HUB_OFFLINE": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    "SWE_AGENT_LOG_STREAM_LEVEL": "INFO",
}


class SweAgentScaffold:
    """SWE-agent inside the sandbox.

    Argument, optional: `mode`, functions or text; see `docs/agents.md`.
    """

    version = "swe-agent-1.1.0/1"
    resumable = False

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """Return the version of the prompts, which stand in the agent's first request."""
        return Briefing(prompt_version="swe-agent/1")

    def mounts(self, settings: ExecutorSettings) -> Mapping[str, Mount]:
        """Return the agent's environment, with an interpreter and the checkout."""
        return {_ENVIRONMENT.name: _ENVIRONMENT.mount(settings.agents_root)}

    async def run(self, world: World) -> None:
        """Run the agent to its end."""
        ran = await run_agent(world, _command(world), GrowingRecord(_RECORD, "trajectory", _without_query).of_turn)
        record = ran.files.get(_RECORD, b"")
        if record:
            await world.recorder.keep(f"agent/{_RECORD}", record, "application/json")
        raise _ending(ran, record)


def _ending(ran: AgentRun, record: bytes) -> Ending:
    usual = ran.ending()
    if ran.stopped is not None or ran.result.exit_code != 0:
        return usual
    if ran.overflow:
        return LimitReached(Outcome.TOKEN_LIMIT, ran.overflow)
    ending = ending_of(parse_object(record))
    return ending if ran.calls or not isinstance(ending, Submitted) else usual


def _without_query(step: object) -> dict[str, object]:
    return {name: value for name, value in as_object(step).items() if name != _QUERY}


def _command(world: World) -> AgentCommand:
    settings = world.settings
    mode = world.rollout.scaffold_args.get("mode", MODES[0])
    if mode not in MODES:
        raise AgentFailed(f"mode: {' or '.join(MODES)}, not {mode!r}")
    config = configuration(
        world.package.instruction,
        world.sandbox.workdir,
        model=f"openai/{world.model.route}",
        mode=mode,
        steps=world.clock.limits.max_steps + 1,
        command_seconds=int(settings.tool_timeout_seconds),
    )
    start = resources.files("synthbench.executor.scaffolds.swe_agent").joinpath("start.py").read_text("utf-8")
    return AgentCommand(
        script=_ENVIRONMENT.command(
            settings.agents_root,
            '"$SYNTHBENCH_AGENT_FOLDER/start.py"',
            isolated=world.sandbox.isolation.isolated,
        ),
        env=_ENV,
        files={"start.py": start, "run.yaml": json.dumps(config)},
        send=[_RECORD],
    )
