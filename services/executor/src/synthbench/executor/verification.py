"""The verdict: two fresh sandboxes that the agent never touched, one with its change, one with the tests."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from synthbench.chassis.errors import one_line
from synthbench.chassis.telemetry import span
from synthbench.contracts.verification import VerificationResult
from synthbench.executor import harbor
from synthbench.executor.domain.endings import InfraFailure
from synthbench.executor.environment import spec_of
from synthbench.executor.workspace.changes import apply_changes
from synthbench.sandbox.errors import PathRefused, SandboxError
from synthbench.sandbox.forkserver import PYTHON, SOCKET, ForkServer, fork_server
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec
from synthbench.tasks import TaskPackage
from synthbench.tasks.verify import DRIVER, CtrfReport, grade, serve_verification
from synthbench.tasks.verify.server import MAX_LINE, RemoteRun

_OPERATION_OUTPUT = 8 * 1024 * 1024
_SHARES = 3
"""Shares of the verifier's time: the code under test may take one, comparing its answers another."""


async def verify(
    engine: SandboxEngine,
    package: TaskPackage,
    changes: Sequence[bytes],
    *,
    owner: str,
    tests_engine: SandboxEngine | None = None,
    max_memory_mb: int = 4096,
) -> VerificationResult:
    """Run the task's hidden tests against an agent's change.

    Args:
        engine: makes the sandbox of the code under test.
        package: the task.
        changes: archives as `Sandbox.diff` made them, applied one after the other; none for no change.
        owner: for the sandboxes' records.
        tests_engine: makes the sandbox of the hidden tests, where that is another one: they are the task author's,
            need the standard library and one Unix socket, and share nothing with the code but that.
        max_memory_mb: upper bound of what the task may ask for.

    Returns:
        The result; with `error` where no verdict could be reached, which is our failure.
    """
    began = monotonic()
    engines = _Engines(engine, tests_engine or engine)
    with span("verify", attributes={"synthbench.task": package.id, "synthbench.profile": package.profile}):
        try:
            spec = await spec_of(engine, package, f"{owner}.code", max_memory_mb, verified=True)
            if package.profile == "harbor":
                engines = _Engines(engine, engine)
                result = await harbor.verify_apart(engine, package, changes, spec)
            else:
                result = await _verify(engines, package, changes, spec, owner)
        except (SandboxError, InfraFailure, OSError) as error:
            result = VerificationResult(error=one_line(error))
    return result.model_copy(update={"seconds": monotonic() - began, "engines": engines.names()})


@dataclass(frozen=True)
class _Engines:
    """The engines of the two sides of a verification."""

    code: SandboxEngine
    tests: SandboxEngine

    def names(self) -> dict[str, str]:
        """Return the names of the engines, by side."""
        return {"code": self.code.name, "tests": self.tests.name}


async def _verify(
    engines: _Engines, package: TaskPackage, changes: Sequence[bytes], spec: SandboxSpec, owner: str
) -> VerificationResult:
    """Verify; once more and with twice the time where many calls of the code took all of it, and none of them long.

    A machine that has too much to do looks like that, and so does code that is slow; only the latter is slow again.
    """
    seconds = package.limits.verifier_timeout_sec
    result = await _verify_within(seconds, engines, package, changes, spec, owner)
    if result is None:
        result = await _verify_within(2 * seconds, engines, package, changes, spec, owner)
    return result or _graded(package, CtrfReport(tests=[]), ())


async def _verify_within(
    seconds: float,
    engines: _Engines,
    package: TaskPackage,
    changes: Sequence[bytes],
    spec: SandboxSpec,
    owner: str,
) -> VerificationResult | None:
    """Verify in fresh sandboxes; None where the time ran out in many calls of the code, none of which took long."""
    async with AsyncExitStack() as stack:
        python = await stack.enter_async_context(fork_server(engines.code))
        code = await _sandbox(stack, engines.code, spec.model_copy(update={"sockets": {SOCKET: python.path}}))
        await code.upload(package.workspace_archive())
        left_out = await apply_changes(code, changes, package.own.protected)
        await python.start(code, output_bytes=spec.limits.output_bytes)
        side = CodeSandbox(code, python)
        report, words = await _run_tests(stack, engines.tests, package, side, owner, seconds)
    if report is None and side.slow:
        return None
    if report is None and not side.timed_out:
        return VerificationResult(error=f"the tests ended without a report: {words}")
    return _graded(package, report or CtrfReport(tests=[]), left_out)


def _graded(package: TaskPackage, report: CtrfReport, left_out: Sequence[str]) -> VerificationResult:
    graded = grade(report, package.own.fail_to_pass, package.own.pass_to_pass)
    return VerificationResult(
        reward=graded.reward, reward_parts=graded.parts, tests=graded.tests, left_out=list(left_out)
    )


async def _sandbox(stack: AsyncExitStack, engine: SandboxEngine, spec: SandboxSpec) -> Sandbox:
    sandbox = await engine.create(spec)
    stack.push_async_callback(sandbox.close)
    return sandbox


async def _run_tests(
    stack: AsyncExitStack, engine: SandboxEngine, package: TaskPackage, side: "CodeSandbox", owner: str, seconds: float
) -> tuple[CtrfReport | None, str]:
    """Run the driver beside the tests; return its report, or why there is none."""
    loop = asyncio.get_running_loop()
    reported: asyncio.Future[CtrfReport] = loop.create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            report = await serve_verification(reader, writer, side)
            if not reported.done():
                reported.set_result(report)
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no report
            if not reported.done():
                reported.set_exception(InfraFailure(one_line(error)))
        finally:
            writer.close()

    path = await stack.enter_async_context(_listening(engine, serve))
    spec = SandboxSpec(owner=f"{owner}.tests", sockets={"channel": path}, limits=SandboxLimits(memory_mb=512))
    tests = await _sandbox(stack, engine, spec)
    await tests.upload(package.tests_archive(), to="tests")
    folder = f"{tests.workdir}/tests"
    command = ["python3", "-I", "-S", f"{folder}/{DRIVER}", "--tests", folder, "--socket", tests.socket_path("channel")]
    share = seconds / _SHARES
    result = await tests.run([*command, "--cpu-seconds", f"{share:g}"], timeout=seconds)
    if result.timed_out:
        side.out_of_time(share)
    await side.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.wait([reported]), 1)
    if reported.done() and reported.exception() is None:
        return reported.result(), ""
    return None, _last_words(result)


def _last_words(result: RunResult) -> str:
    if result.timed_out:
        return "they took too long"
    return f"exit code {result.exit_code}: {result.stderr_text.strip()[-300:]}"


@asynccontextmanager
async def _listening(engine: SandboxEngine, serve: object) -> AsyncGenerator[Path]:
    """Listen on a Unix socket to which sandboxes with a uid of their own can connect, while the context lasts."""
    with engine.socket_place() as path:
        server = await asyncio.start_unix_server(serve, path, limit=MAX_LINE)  # pyright: ignore[reportArgumentType] - a coroutine function
        path.chmod(0o666)
        try:
            yield path
        finally:
            server.close()


class CodeSandbox:
    """The operations of the tests in the sandbox with the code under test."""

    def __init__(self, sandbox: Sandbox, python: ForkServer) -> None:
        self._sandbox = sandbox
        self._python = python
        self.timed_out = False
        """Whether a call of the code did not end in its time."""
        self.slow = False
        """Whether the tests ran out of time while they mostly waited for calls that each ended in theirs."""
        self._seconds = 0.0
        self._began: float | None = None

    def out_of_time(self, share: float) -> None:
        """Judge why the tests ran out of time; `share` seconds of it belong to the code."""
        running = 0.0 if self._began is None else monotonic() - self._began
        self.timed_out = self.timed_out or running >= share
        self.slow = not self.timed_out and (self._began is not None or self._seconds >= share)

    async def run(self, argv: list[str], stdin: bytes, timeout: float, cwd: str) -> RemoteRun:  # noqa: ASYNC109 - the command's
        """Run a command; one that does not end in time is the code's fault."""
        self._began = began = monotonic()
        try:
            result = await self._result(argv, stdin, timeout, cwd)
        except PathRefused as error:  # the agent's change took the folder away
            return RemoteRun(127, b"", str(error).encode(), timed_out=False)
        finally:
            self._began = None
            self._seconds += monotonic() - began
        self.timed_out = self.timed_out or result.timed_out
        return RemoteRun(result.exit_code, result.stdout, result.stderr, result.timed_out)

    async def _result(self, argv: list[str], stdin: bytes, timeout: float, cwd: str) -> RunResult:  # noqa: ASYNC109 - as above
        if tuple(argv[: len(PYTHON)]) == PYTHON and len(argv) > len(PYTHON):
            program, *arguments = argv[len(PYTHON) :]
            return await self._python.run(program, arguments, cwd=cwd, stdin=stdin, timeout=timeout)
        return await self._sandbox.run(argv, cwd=cwd, stdin=stdin, timeout=timeout)

    async def read(self, path: str) -> bytes:
        """Read a file."""
        try:
            return await self._sandbox.read(path, max_bytes=_OPERATION_OUTPUT)
        except PathRefused as error:
            raise FileNotFoundError(str(error)) from error

    async def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        try:
            await self._sandbox.write(path, data)
        except PathRefused as error:
            raise PermissionError(str(error)) from error

    async def stop(self) -> None:
        """End what the tests left running in it."""
        await self._sandbox.kill()
