"""The loop of the native scaffold: ask the model, run its tools, record the step, again."""

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from opentelemetry.trace import Span

from synthbench.chassis.telemetry import span
from synthbench.contracts.records import Timing
from synthbench.contracts.scaffold_args import ArgumentError, NativeOptions, read_native
from synthbench.contracts.steps import Action, Observation, ToolCall
from synthbench.executor.domain.endings import AgentFailed, ContextFull
from synthbench.executor.recorder import AgentTurn
from synthbench.executor.scaffold import Briefing, World
from synthbench.executor.scaffolds.native.action_format import ActionFormat, FunctionCallFormat
from synthbench.executor.scaffolds.native.arguments import as_json, schemas
from synthbench.executor.scaffolds.native.briefing import prompt_version, system_prompt, task_prompt
from synthbench.executor.scaffolds.native.condensing import Condenser
from synthbench.executor.scaffolds.native.conversation import NativeConversation, TurnLimits
from synthbench.executor.scaffolds.native.text_actions import TextBlockFormat
from synthbench.executor.scaffolds.native.tools import Toolbox
from synthbench.executor.scaffolds.native.window import ContextWindow

_NEW_SHELL = "The shell is a new one, in the folder where it was: its variables, functions and jobs are gone."


class NativeScaffold:
    """The agent that comes with synth-bench: a conversation with tools, run by the executor itself."""

    version = "native-2"
    resumable = True

    def briefing(self, world: World) -> Briefing:
        """The system prompt and the tools."""
        args = _options(world)
        offered = _offered(args)
        return Briefing(system_prompt(world, args, offered), as_json(offered), prompt_version(args))

    async def run(self, world: World) -> None:
        """Work until it submits, gives up, or a limit is reached."""
        args = _options(world)
        settings = world.settings
        tools = Toolbox(
            world.sandbox,
            world.clock,
            timeout=settings.tool_timeout_seconds,
            shown_bytes=settings.shown_bytes,
            shell=args.shell,
        )
        try:
            await _work(world, args, tools)
        finally:
            await tools.close()


async def _work(world: World, args: NativeOptions, tools: Toolbox) -> None:
    offered = _offered(args)
    dialect: ActionFormat = TextBlockFormat() if args.actions == "text" else FunctionCallFormat()
    opening = [
        {"role": "system", "content": system_prompt(world, args, offered)},
        {"role": "user", "content": task_prompt(world, args)},
    ]
    window = ContextWindow(args.context_tokens, overhead=len(as_json(dialect.offered(offered))))
    patience = TurnLimits(world.settings.agent_patience, world.settings.loop_repeats)
    talk = NativeConversation(opening, dialect, patience, window)
    condenser = Condenser(world, args, talk)
    if world.start.steps:
        talk.resume(world.start, note=_NEW_SHELL if args.shell == "persistent" else "")
        tools.resume(world.start.steps)
        world.model.resume(world.start.steps)
        talk.check()
    while True:
        await condenser.make_room(tools.cwd)
        world.clock.check()
        with step_span(world):
            started = datetime.now(UTC)
            try:
                answer = await world.model.ask(talk.messages, dialect.offered(offered), timeout=world.clock.remaining)
            except ContextFull as error:
                condenser.refused(error)
                continue
            action = dialect.read_action(answer.message)
            found = await tools.execute_all(action.tool_calls)
            observations = talk.answered(action, found)
            timing = answer.timing.model_copy(update={"tool_seconds": sum((o.seconds for o in found), 0.0)})
            await world.recorder.record(
                AgentTurn(
                    action,
                    observations,
                    started,
                    tools.cwd,
                    answer.usage,
                    timing,
                    answer.call,
                    finish_reason=answer.finish_reason,
                )
            )
        talk.window.measured(answer.usage.input_tokens, talk.messages)
        talk.take(action, observations)
        condenser.answered()
        talk.check()


def _options(world: World) -> NativeOptions:
    try:
        return read_native(world.rollout.scaffold_args)
    except ArgumentError as error:
        raise AgentFailed(str(error)) from error


def _offered(args: NativeOptions) -> list[dict[str, Any]]:
    return schemas(persistent=args.shell == "persistent")


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
        await world.recorder.record(AgentTurn(action, [observation], started, tools.cwd, timing=timing))
    return observation
