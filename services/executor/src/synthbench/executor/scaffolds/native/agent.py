"""The loop of the native scaffold: ask the model, run its tools, record the step, again."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from opentelemetry.trace import Span

from synthbench.chassis.telemetry import span
from synthbench.contracts.records import Timing
from synthbench.contracts.steps import Action, Observation, ToolCall
from synthbench.executor.recorder import Turn
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.scaffolds.native.conversation import Conversation
from synthbench.executor.scaffolds.native.tools import SCHEMAS, SCHEMAS_JSON, Toolbox
from synthbench.executor.scaffolds.native.turns import read_action

if TYPE_CHECKING:
    from jinja2 import Template

PROMPTS = 1
"""Version of the templates in `prompts/`; a changed prompt is a new folder."""
_NUDGE = "You did not call a tool. Continue with a tool call; when the work is done, call submit."


class NativeScaffold:
    """See `synthbench.executor.scaffold.Scaffold`."""

    version = "native-1"
    resumable = True

    def briefing(self, world: World) -> Briefing:
        """The system prompt and the six tools."""
        return Briefing(_prompt("system", world), SCHEMAS_JSON, f"native/{PROMPTS}")

    async def run(self, world: World) -> None:
        """Work until it submits, gives up, or a limit is reached."""
        tools = Toolbox(
            world.sandbox,
            world.clock,
            timeout=world.settings.tool_timeout_seconds,
            shown_bytes=world.settings.shown_bytes,
        )
        talk = Conversation(
            [
                {"role": "system", "content": _prompt("system", world)},
                {"role": "user", "content": _prompt("task", world)},
            ]
        )
        if world.start.steps:
            talk.resume(world.start)
            tools.cwd = world.start.steps[-1].state.cwd
            world.model.resume(world.start.steps)
            talk.check()
        while True:
            world.clock.check()
            with step_span(world):
                started = datetime.now(UTC)
                answer = await world.model.ask(talk.messages, SCHEMAS, timeout=world.clock.remaining)
                action = read_action(answer.message)
                observations = [await tools.execute(call) for call in action.tool_calls] or [
                    Observation(content=_NUDGE)
                ]
                timing = answer.timing.model_copy(update={"tool_seconds": sum(o.seconds for o in observations)})
                await world.recorder.record(
                    Turn(action, observations, started, tools.cwd, answer.usage, timing, answer.call)
                )
            talk.take(action, observations)
            talk.check()


def step_span(world: World) -> AbstractContextManager[Span]:
    """One finished span for each step: the span of a whole attempt is lost with its process, those of steps are not."""
    return span("step", attributes={"synthbench.step.index": world.clock.steps, "synthbench.task": world.package.id})


async def play(world: World, tools: Toolbox, name: str, arguments: str, thought: str = "") -> Observation:
    """Record one tool call as a step of its own; for scaffolds that ask no model."""
    world.clock.check()
    with step_span(world):
        started = datetime.now(UTC)
        call = ToolCall(id=f"call_{world.clock.steps}", name=name, arguments=arguments)
        observation = await tools.execute(call)
        action = Action(message=thought, tool_calls=[call])
        timing = Timing(tool_seconds=observation.seconds)
        await world.recorder.record(Turn(action, [observation], started, tools.cwd, timing=timing))
    return observation


@cache
def _template(name: str) -> "Template":
    # PLC0415: seven processes start together, and this one needs templates only when an attempt begins.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - as said above

    folder = resources.files("synthbench.executor.scaffolds.native").joinpath("prompts", str(PROMPTS))
    return Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False).from_string(  # noqa: S701 - prompts, no HTML
        folder.joinpath(f"{name}.md.j2").read_text("utf-8")
    )


def _prompt(name: str, world: World) -> str:
    return _template(name).render(
        instruction=world.package.instruction.strip(),
        workdir=world.sandbox.workdir,
        visible_check=world.package.own.visible_check,
        timeout=f"{world.settings.tool_timeout_seconds:g}",
    )
