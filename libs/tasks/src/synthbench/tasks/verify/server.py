"""Our end of the channel: carries out what tests ask for beside the code under test, and takes the report.

One JSON object a line, each way: `{"op": "run" | "read" | "write" | "report", …}`; bytes are base64. Only tests speak
here, but what they pass on comes from hostile code: everything is capped.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_LINE = 32 * 1024 * 1024
MAX_OPERATIONS = 10_000
MAX_SECONDS = 600.0


class VerificationBroken(Exception):
    """The tests' side did not keep to the protocol, or ended without a report: our failure, never the agent's."""


class RemoteRun(NamedTuple):
    """How a command ended beside the code under test."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool


class CodeSide(Protocol):
    """The sandbox with the code under test."""

    async def run(self, argv: list[str], stdin: bytes, timeout: float, cwd: str) -> RemoteRun:  # noqa: ASYNC109 - the command's
        """Run a command in the workspace."""
        ...

    async def read(self, path: str) -> bytes:
        """Read a file; FileNotFoundError where there is none."""
        ...

    async def write(self, path: str, data: bytes) -> None:
        """Write a file; PermissionError where that is refused."""
        ...


class CtrfTest(BaseModel):
    """One test of a report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    status: Literal["passed", "failed", "skipped", "pending", "other"]
    duration: float = 0
    """Milliseconds."""
    message: str = ""


class CtrfReport(BaseModel):
    """What we read of a CTRF report."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tests: list[CtrfTest]


class _Run(BaseModel):
    op: Literal["run"]
    argv: list[str] = Field(min_length=1)
    stdin: str = ""
    timeout: float = Field(default=20.0, gt=0, le=MAX_SECONDS)
    cwd: str = "."


class _Read(BaseModel):
    op: Literal["read"]
    path: str


class _Write(BaseModel):
    op: Literal["write"]
    path: str
    data: str


class _Results(BaseModel):
    results: CtrfReport


class _Report(BaseModel):
    op: Literal["report"]
    ctrf: _Results


_Request = TypeAdapter[_Run | _Read | _Write | _Report](
    Annotated[_Run | _Read | _Write | _Report, Field(discriminator="op")]
)


async def serve_verification(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, code: CodeSide) -> CtrfReport:
    """Serve one run of the tests until its report. The reader's limit must be `MAX_LINE`.

    Raises:
        VerificationBroken: no report, or nonsense.
    """
    for _ in range(MAX_OPERATIONS):
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            raise VerificationBroken(f"the tests ended without a report ({type(error).__name__})") from error
        try:
            request = _Request.validate_json(line)
        except ValidationError as error:
            raise VerificationBroken(
                f"the tests asked for nonsense: {error.errors(include_url=False)[0]['msg']}"
            ) from error
        if isinstance(request, _Report):
            await _answer(writer, {})
            return request.ctrf.results
        await _answer(writer, await _perform(request, code))
    raise VerificationBroken(f"the tests asked for more than {MAX_OPERATIONS} operations")


async def _answer(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def _perform(request: _Run | _Read | _Write, code: CodeSide) -> dict[str, Any]:
    match request:
        case _Run():
            done = await code.run(request.argv, base64.b64decode(request.stdin), request.timeout, request.cwd)
            return {
                "exit_code": done.exit_code,
                "stdout": _b64(done.stdout),
                "stderr": _b64(done.stderr),
                "timed_out": done.timed_out,
            }
        case _Read():
            return await _file(code.read(request.path), lambda data: {"data": _b64(data)})
        case _Write():
            return await _file(code.write(request.path, base64.b64decode(request.data)), lambda _: {})


async def _file(work: Awaitable[Any], shape: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    try:
        return shape(await work)
    except (FileNotFoundError, PermissionError) as error:
        return {"error": type(error).__name__, "message": str(error)}


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
