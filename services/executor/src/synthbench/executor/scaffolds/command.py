"""Any agent: a command that runs inside the sandbox, and finds its model by the usual variables."""

import re
import shlex
from collections.abc import Mapping

from synthbench.executor.capture.running import AgentCommand, run_agent, seconds_of
from synthbench.executor.domain.endings import AgentFailed
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.inside import Mount

_INSTRUCTION = "instruction.md"
_ENV = "env."


class CommandScaffold:
    """Any agent that a command starts inside the sandbox.

    Arguments: `command`; optional `setup`, `idle_seconds`, `env.NAME`; see `docs/agents.md`.
    """

    version = "command-1"
    resumable = False

    def briefing(self, world: World) -> Briefing:  # noqa: ARG002 - as in the protocol
        """Return an empty briefing: the prompts are the agent's own, and stand in its requests."""
        return Briefing()

    def mounts(self, settings: ExecutorSettings) -> Mapping[str, Mount]:  # noqa: ARG002 - as in the protocol
        """Return no mounts: the agent lies in the task's image, or in the command itself."""
        return {}

    async def run(self, world: World) -> None:
        """Run the command to its end."""
        raise (await run_agent(world, _command(world, world.rollout.scaffold_args))).ending()


def _command(world: World, arguments: Mapping[str, str]) -> AgentCommand:
    script = arguments.get("command", "")
    if not script.strip():
        raise AgentFailed("the scaffold `command` wants an argument `command`")
    instruction = world.package.instruction
    env = {name.removeprefix(_ENV): value for name, value in arguments.items() if name.startswith(_ENV)}
    for name in env:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise AgentFailed(f"{name!r} is no name of an environment variable")
    return AgentCommand(
        script=f'SYNTHBENCH_INSTRUCTION_FILE="$SYNTHBENCH_AGENT_FOLDER/{_INSTRUCTION}"; '
        f"export SYNTHBENCH_INSTRUCTION_FILE\n{script.replace('{instruction}', shlex.quote(instruction))}",
        setup=arguments.get("setup", ""),
        env=env,
        files={_INSTRUCTION: instruction},
        idle_seconds=seconds_of(arguments, "idle_seconds", 300.0),
    )
