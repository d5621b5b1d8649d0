"""The tools of one attempt under one roof: whatever the agent asks for becomes an observation."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any

from pydantic import ValidationError

from synthbench.chassis import genai
from synthbench.chassis.failpoints import failpoint_soon
from synthbench.chassis.telemetry import span
from synthbench.contracts.scaffold_args import ShellKind
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.observing import shown
from synthbench.executor.scaffolds.native.answers import Answer, ToolFailed
from synthbench.executor.scaffolds.native.arguments import TOOLS, Submit
from synthbench.executor.scaffolds.native.commands import Commands
from synthbench.executor.scaffolds.native.files import FileTools
from synthbench.executor.scaffolds.native.searching import Searcher
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.protocol import Sandbox


class Toolbox:
    """The tools of one attempt, with the shell's working folder and the edits that can be taken back."""

    def __init__(
        self, sandbox: Sandbox, clock: Clock, *, timeout: float, shown_bytes: int, shell: ShellKind = "one-shot"
    ) -> None:
        self._shown_bytes = shown_bytes
        self._commands = Commands(sandbox, clock, timeout=timeout, kind=shell)
        self._files = FileTools(sandbox)
        self._searcher = Searcher(sandbox, clock)
        self.submitted: str | None = None

    @property
    def cwd(self) -> str:
        """Where the next command begins."""
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
    def _run(self) -> dict[str, Callable[[Any], Awaitable[Answer]]]:
        return {
            "bash": self._commands.run,
            "read_file": self._files.read,
            "write_file": self._files.write,
            "edit_file": self._files.edit,
            "undo_edit": self._files.undo,
            "search": self._searcher.search,
            "submit": self._submit,
        }

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
        seen = Observation(
            tool_call_id=call.id,
            content=answer.content,
            shown=shown(answer.content, self._shown_bytes),
            exit_code=answer.exit_code,
            total_bytes=len(answer.content.encode()) if answer.total_bytes is None else answer.total_bytes,
            error=answer.error,
            seconds=monotonic() - began,
        )
        self._files.history.take(call, seen)
        return seen

    async def _answer(self, call: ToolCall) -> Answer:
        try:
            self._check(call)
            return await self._run[call.name](TOOLS[call.name].model_validate_json(call.arguments or "{}"))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
            )
            return Answer(f"bad arguments: {problems}", error="bad_arguments")
        except ToolFailed as error:
            return Answer(str(error), error=error.kind)
        except PathRefused as error:
            return Answer(str(error), error="path_refused")

    def _check(self, call: ToolCall) -> None:
        if self.submitted is not None:
            raise ToolFailed("not run: the work was handed in already", "after_submit")
        if call.error and not call.name:
            raise ToolFailed(f"the action cannot be read: {call.error}", "bad_arguments")
        if call.name not in TOOLS:
            raise ToolFailed(f"there is no tool {call.name!r}; there are {', '.join(TOOLS)}", "unknown_tool")
        if call.error:
            raise ToolFailed(f"the arguments are no JSON object: {call.error}", "bad_arguments")

    async def _submit(self, wanted: Submit) -> Answer:
        self.submitted = wanted.summary
        return Answer("handed in")
