"""The tools of one attempt under one roof: whatever the agent asks for becomes an observation."""

import json
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any

from pydantic import ValidationError

from synthbench.chassis import genai
from synthbench.chassis.errors import one_line
from synthbench.chassis.failpoints import failpoint_soon
from synthbench.chassis.telemetry import span
from synthbench.contracts.scaffold_args import ShellKind
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.contracts.text import valid_text
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.fault import is_agents
from synthbench.executor.scaffolds.native.answers import ToolAnswer, ToolFailed, head_and_tail
from synthbench.executor.scaffolds.native.arguments import TOOLS, Submit
from synthbench.executor.scaffolds.native.commands import Commands
from synthbench.executor.scaffolds.native.files import FileTools
from synthbench.executor.scaffolds.native.searching import Searcher
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.protocol import Sandbox

_CALLS_A_TURN = 128
"""More calls of one turn are not run, and the model is told."""
_PROBLEM = 500
"""Characters that are told of an exception; its message may hold all of what was wrong."""


class Toolbox:
    """The tools of one attempt, with the shell's working folder and the edits that can be taken back."""

    def __init__(
        self, sandbox: Sandbox, clock: Clock, *, timeout: float, shown_bytes: int, shell: ShellKind = "one-shot"
    ) -> None:
        self._shown_bytes = shown_bytes
        self._commands = Commands(sandbox, clock, timeout=timeout, kind=shell)
        self._files = FileTools(sandbox)
        self._searcher = Searcher(sandbox, clock)
        self._clock = clock
        self._turn_calls = 0
        self._turn_seconds = 0.0
        self.submitted: str | None = None

    @property
    def cwd(self) -> str:
        """The folder in which the next command begins."""
        return self._commands.cwd

    def resume(self, steps: tuple[Step, ...]) -> None:
        """Go on after steps that were recorded."""
        self._commands.cwd = steps[-1].state.cwd
        for step in steps:
            for call, seen in zip(step.action.tool_calls, step.observations, strict=False):
                self._files.history.take(call, seen)

    async def close(self) -> None:
        """End what is open."""
        await self._commands.close()

    @property
    def _run(self) -> dict[str, Callable[[Any], Awaitable[ToolAnswer]]]:
        return {
            "bash": self._commands.run,
            "read_file": self._files.read,
            "write_file": self._files.write,
            "edit_file": self._files.edit,
            "undo_edit": self._files.undo,
            "search": self._searcher.search,
            "submit": self._submit,
        }

    async def execute_all(self, calls: Sequence[ToolCall]) -> list[Observation]:
        """Run the calls of one turn, one after the other, as far as the attempt's time goes."""
        self._turn_calls, self._turn_seconds = 0, 0.0
        observations: list[Observation] = []
        for call in calls:
            observations.append(await self.execute(call))
            self._turn_calls += 1
            self._turn_seconds += observations[-1].seconds
        return observations

    async def execute(self, call: ToolCall) -> Observation:
        """Run one tool call. Whatever the agent did wrong becomes an observation, never an exception."""
        began = monotonic()
        failpoint_soon("executor.mid_tool", 0.005)
        with span(
            f"execute_tool {call.name}"[:80],
            attributes={genai.OPERATION: genai.EXECUTE_TOOL, genai.TOOL_NAME: call.name, genai.TOOL_CALL_ID: call.id},
        ) as opened:
            answer = await self._answer(call)
            if answer.exit_code is not None:
                opened.set_attribute("synthbench.tool.exit_code", answer.exit_code)
            if answer.error:
                opened.set_attribute("error.type", answer.error)
        content = valid_text(answer.content)
        seen = Observation(
            tool_call_id=call.id,
            content=content,
            shown=head_and_tail(content, self._shown_bytes),
            exit_code=answer.exit_code,
            total_bytes=len(content.encode()) if answer.total_bytes is None else answer.total_bytes,
            error=answer.error,
            seconds=monotonic() - began,
        )
        self._files.history.take(call, seen)
        return seen

    async def _answer(self, call: ToolCall) -> ToolAnswer:
        try:
            self._check(call)
            return await self._run[call.name](TOOLS[call.name].model_validate_json(_readable(call.arguments or "{}")))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
            )
            return ToolAnswer(f"bad arguments: {problems}", error="bad_arguments")
        except ToolFailed as error:
            return ToolAnswer(str(error), error=error.kind)
        except PathRefused as error:
            return ToolAnswer(str(error), error="path_refused")
        except Exception as error:
            if not is_agents(error):
                raise
            return ToolAnswer(f"the tool cannot do this: {one_line(error)}"[:_PROBLEM], error="failed")

    def _check(self, call: ToolCall) -> None:
        if self.submitted is not None:
            raise ToolFailed("not run: the work was handed in already", "after_submit")
        if self._turn_calls >= _CALLS_A_TURN:
            raise ToolFailed(f"not run: more than {_CALLS_A_TURN} calls in one turn", "too_many_calls")
        if self._turn_seconds >= self._clock.remaining:
            raise ToolFailed("not run: the time of the attempt is used up", "timeout")
        if call.error and not call.name:
            raise ToolFailed(f"the action cannot be read: {call.error}", "bad_arguments")
        if call.name not in TOOLS:
            raise ToolFailed(f"there is no tool {call.name!r}; there are {', '.join(TOOLS)}", "unknown_tool")
        if call.error:
            raise ToolFailed(f"the arguments are no JSON object: {call.error}", "bad_arguments")

    async def _submit(self, wanted: Submit) -> ToolAnswer:
        self.submitted = wanted.summary
        return ToolAnswer("handed in")


def _readable(arguments: str) -> str:
    """Arguments with stand-ins for the lone surrogates in them, which pydantic's reader of JSON refuses."""
    if "\\ud" not in arguments.lower():
        return arguments
    try:
        return valid_text(json.dumps(json.loads(arguments), ensure_ascii=False))
    except (ValueError, RecursionError):
        return arguments
