"""The six tools of the native scaffold. Arguments are pydantic models, from which the schemas follow."""

import json
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synthbench.chassis import genai
from synthbench.chassis.failpoints import failpoint_soon
from synthbench.chassis.telemetry import span
from synthbench.contracts.steps import Observation, ToolCall
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.observing import shown
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.result import LimitHit

_MATCHES = 200
_SEARCH_SECONDS = 20.0
_FILE_BYTES = 4 * 1024 * 1024


class Arguments(BaseModel):
    """Arguments of a tool."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Bash(Arguments):
    """Run a shell command in the workspace. The working folder is kept between calls; background processes are not."""

    command: str = Field(description="A bash command line or script.")
    timeout: float | None = Field(default=None, gt=0, description="Seconds until it is killed.")


class ReadFile(Arguments):
    """Read a text file, with line numbers."""

    path: str = Field(description="Relative to the workspace.")
    start_line: int = Field(default=1, ge=1)
    end_line: int | None = Field(default=None, ge=1, description="Inclusive; to the end if left out.")


class WriteFile(Arguments):
    """Create or replace a file."""

    path: str = Field(description="Relative to the workspace.")
    content: str


class EditFile(Arguments):
    """Replace a piece of a file. `old_text` must be there exactly once."""

    path: str = Field(description="Relative to the workspace.")
    old_text: str = Field(min_length=1)
    new_text: str


class Search(Arguments):
    """Search files for an extended regular expression; answers path:line:text."""

    pattern: str = Field(min_length=1)
    path: str = Field(default=".", description="File or folder to search in.")


class Submit(Arguments):
    """Hand in the work. Nothing can be changed afterwards."""

    summary: str = Field(default="", description="What was done, in a sentence or two.")


@dataclass
class Answer:
    """What a tool found."""

    content: str
    exit_code: int | None = None
    total_bytes: int | None = None
    error: str | None = None


class ToolFailed(Exception):
    """The tool could not do it; the agent is told why."""

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


class Toolbox:
    """The tools of one attempt, with the shell's working folder."""

    def __init__(self, sandbox: Sandbox, clock: Clock, *, timeout: float, shown_bytes: int) -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._timeout = timeout
        self._shown_bytes = shown_bytes
        self.cwd = sandbox.workdir
        self.submitted: str | None = None

    @property
    def _tools(self) -> dict[str, tuple[type[Arguments], Callable[[Any], Awaitable[Answer]]]]:
        return {
            "bash": (Bash, self._bash),
            "read_file": (ReadFile, self._read_file),
            "write_file": (WriteFile, self._write_file),
            "edit_file": (EditFile, self._edit_file),
            "search": (Search, self._search),
            "submit": (Submit, self._submit),
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
        return Observation(
            tool_call_id=call.id,
            content=answer.content,
            shown=shown(answer.content, self._shown_bytes),
            exit_code=answer.exit_code,
            total_bytes=len(answer.content.encode()) if answer.total_bytes is None else answer.total_bytes,
            error=answer.error,
            seconds=monotonic() - began,
        )

    async def _answer(self, call: ToolCall) -> Answer:
        try:
            model, run = self._tool(call)
            return await run(model.model_validate_json(call.arguments or "{}"))
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)
            )
            return Answer(f"bad arguments: {problems}", error="bad_arguments")
        except ToolFailed as error:
            return Answer(str(error), error=error.kind)
        except PathRefused as error:
            return Answer(str(error), error="path_refused")

    def _tool(self, call: ToolCall) -> tuple[type[Arguments], Callable[[Any], Awaitable[Answer]]]:
        if self.submitted is not None:
            raise ToolFailed("not run: the work was handed in already", "after_submit")
        if call.name not in self._tools:
            raise ToolFailed(f"there is no tool {call.name!r}; there are {', '.join(self._tools)}", "unknown_tool")
        if call.error:
            raise ToolFailed(f"the arguments are no JSON object: {call.error}", "bad_arguments")
        return self._tools[call.name]

    async def _bash(self, wanted: Bash) -> Answer:
        timeout = min(wanted.timeout or self._timeout, self._timeout, self._clock.remaining)
        script = ["bash", "-c", wanted.command]
        try:
            result = await self._sandbox.run(script, cwd=self.cwd, timeout=timeout, track_cwd=True)
        except PathRefused:  # the folder is gone: start over at the top, as a new shell would
            self.cwd = self._sandbox.workdir
            result = await self._sandbox.run(script, cwd=self.cwd, timeout=timeout, track_cwd=True)
        self.cwd = result.cwd or self.cwd
        parts = [result.stdout_text, f"[stderr]\n{result.stderr_text}" if result.stderr else ""]
        text = "\n".join(part.rstrip("\n") for part in parts if part)
        total = result.stdout_total + result.stderr_total
        for limit in result.hit:
            text += f"\n[{_HIT[limit].format(seconds=timeout)}]"
        if result.exit_code is not None:
            text += f"\n[exit code {result.exit_code}]"
        return Answer(text.lstrip(), result.exit_code, total, result.hit[0] if result.hit else None)

    async def _text(self, path: str) -> str:
        data = await self._sandbox.read(path, max_bytes=_FILE_BYTES)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ToolFailed(f"{path} is no UTF-8 text; look at it with a command") from error

    async def _read_file(self, wanted: ReadFile) -> Answer:
        lines = (await self._text(wanted.path)).splitlines()
        if wanted.start_line > max(1, len(lines)):
            raise ToolFailed(f"{wanted.path} has {len(lines)} lines")
        chosen = lines[wanted.start_line - 1 : wanted.end_line]
        return Answer("\n".join(f"{number:>5}\t{line}" for number, line in enumerate(chosen, wanted.start_line)))

    async def _write_file(self, wanted: WriteFile) -> Answer:
        await self._sandbox.write(wanted.path, wanted.content.encode())
        return Answer(f"wrote {len(wanted.content.encode())} bytes to {wanted.path}")

    async def _edit_file(self, wanted: EditFile) -> Answer:
        text = await self._text(wanted.path)
        count = text.count(wanted.old_text)
        if count != 1:
            hint = "read the file again and copy the text exactly" if count == 0 else "add lines until it is unique"
            raise ToolFailed(f"old_text is {count} times in {wanted.path}; {hint}", "no_match")
        await self._sandbox.write(wanted.path, text.replace(wanted.old_text, wanted.new_text).encode())
        line = text[: text.index(wanted.old_text)].count("\n") + 1
        return Answer(f"replaced 1 piece in {wanted.path}, at line {line}")

    async def _search(self, wanted: Search) -> Answer:
        command = (
            f"grep -rnHIE --exclude-dir=.git -e {shlex.quote(wanted.pattern)} -- {shlex.quote(wanted.path)} "
            f"| cut -c1-400 | head -n {_MATCHES}; exit ${{PIPESTATUS[0]}}"
        )
        result = await self._sandbox.run(["bash", "-c", command], timeout=min(_SEARCH_SECONDS, self._clock.remaining))
        if result.timed_out:
            raise ToolFailed("the search took too long; search a smaller folder", "timeout")
        if result.exit_code not in (0, 1, 141):
            raise ToolFailed(f"the search failed: {result.stderr_text.strip()[:300]}")
        return Answer(result.stdout_text.rstrip("\n") or "no match")

    async def _submit(self, wanted: Submit) -> Answer:
        self.submitted = wanted.summary
        return Answer("handed in")


_HIT: dict[LimitHit, str] = {
    "disk": "killed: the files are more than this sandbox may hold",
    "oom": "the kernel killed something for want of memory",
    "timeout": "killed after {seconds:g} s",
    "pids": "a process could not be started: there are too many",
}


def _schema(name: str, model: type[Arguments]) -> dict[str, Any]:
    schema = model.model_json_schema()
    schema.pop("title", None)
    description = schema.pop("description", "")
    for field in schema.get("properties", {}).values():
        field.pop("title", None)
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


SCHEMAS: list[dict[str, Any]] = [
    _schema("bash", Bash),
    _schema("read_file", ReadFile),
    _schema("write_file", WriteFile),
    _schema("edit_file", EditFile),
    _schema("search", Search),
    _schema("submit", Submit),
]
"""As offered to the model."""

SCHEMAS_JSON = json.dumps(SCHEMAS, sort_keys=True)
