"""The server of the tests' channel: runs their operations beside the code under test, and takes their report.

One JSON object a line, each way: `{"op": "run" | "read" | "write" | "report", …}`; bytes are base64. Only tests speak
here, but what they pass on comes from hostile code: everything is capped.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from synthbench.contracts.loose import parse_object
from synthbench.contracts.text import Line, Text

MAX_LINE = 32 * 1024 * 1024
MAX_OPERATIONS = 10_000
"""More are answered with an error, for what the code under test answers may lead tests round in circles."""
MAX_SECONDS = 600.0


class VerificationBroken(Exception):
    """The tests' side did not keep to the protocol, or ended without a report: our failure, never the agent's."""


class RemoteRun(NamedTuple):
    """Result of a command in the sandbox of the code under test."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    timed_out: bool


class CodeUnderTest(Protocol):
    """Operations in the sandbox with the code under test."""

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

    name: Text
    status: Literal["passed", "failed", "skipped", "pending", "other"]
    duration: float = 0
    """Milliseconds."""
    message: Line = ""


class CtrfReport(BaseModel):
    """The fields of a CTRF report that are used."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tests: list[CtrfTest]


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("no NUL can stand in it")
    return text


_Word = Annotated[str, AfterValidator(_without_nul)]


class _Run(BaseModel):
    op: Literal["run"]
    argv: list[_Word] = Field(min_length=1)
    stdin: str = ""
    timeout: float = Field(default=20.0, gt=0, le=MAX_SECONDS)
    cwd: _Word = "."


class _Read(BaseModel):
    op: Literal["read"]
    path: _Word


class _Write(BaseModel):
    op: Literal["write"]
    path: _Word
    data: str


class _Results(BaseModel):
    results: CtrfReport


class _ReportRequest(BaseModel):
    op: Literal["report"]
    ctrf: _Results


_OPERATIONS = ("run", "read", "write")
_TOO_MANY: dict[str, Any] = {"error": "TooManyOperations", "message": f"there were {MAX_OPERATIONS} already"}
_Request = TypeAdapter[_Run | _Read | _Write | _ReportRequest](
    Annotated[_Run | _Read | _Write | _ReportRequest, Field(discriminator="op")]
)


async def serve_verification(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, code: CodeUnderTest
) -> CtrfReport:
    """Serve one run of the tests until its report. The reader's limit must be `MAX_LINE`.

    Raises:
        VerificationBroken: no report, or nonsense.
    """
    for number in range(2 * MAX_OPERATIONS):
        try:
            line = await reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError) as error:
            raise VerificationBroken(f"the tests ended without a report ({type(error).__name__})") from error
        fields = parse_object(line)
        try:
            request = _Request.validate_python(fields)
            if isinstance(request, _ReportRequest):
                await _answer(writer, {})
                return request.ctrf.results
            answer = _TOO_MANY if number >= MAX_OPERATIONS else await _perform(request, code)
        except ValueError as error:
            if fields.get("op") not in _OPERATIONS:
                raise VerificationBroken(f"the tests asked for nonsense: {_problem(error)}") from error
            answer = {"error": "BadRequest", "message": _problem(error)}  # a value of the code's was passed on
        await _answer(writer, answer)
    raise VerificationBroken(f"the tests asked for more than {2 * MAX_OPERATIONS} operations")


def _problem(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors(include_url=False, include_input=False, include_context=False)[0]["msg"])
    return str(error)


async def _answer(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(json.dumps(answer).encode() + b"\n")
    await writer.drain()


async def _perform(request: _Run | _Read | _Write, code: CodeUnderTest) -> dict[str, Any]:
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
