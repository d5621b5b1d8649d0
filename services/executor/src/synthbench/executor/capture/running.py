"""An agent inside the sandbox, from its start to its end."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import resources

from synthbench.chassis.listener import Listener
from synthbench.contracts.records import Outcome
from synthbench.executor.capture.agent_socket import SOCKET
from synthbench.executor.capture.http import SANDBOX_LIMITS
from synthbench.executor.capture.server import ModelCallProxy
from synthbench.executor.domain.endings import AgentFailed, Ending, GaveUp, InfraFailure, LimitReached, Submitted
from synthbench.executor.scaffold import World
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.result import RunResult

_PYTHON = ("python3", "-I", "-S", "-c")
_LOOK_SECONDS = 0.1
_GRACE_SECONDS = 2.0
"""Seconds for an agent that was refused a call, in which it may write down its own end."""
_LONGEST_SECONDS = 7 * 86_400.0
_SEND_SECONDS = 30.0
_CLOSE_SECONDS = 1.0
_TOLD_CHARACTERS = 300


Fetch = Callable[[str], Awaitable[bytes | None]]
"""Reads a file of the agent's folder, while it runs; None where there is none."""
Notes = Callable[[Fetch], Awaitable[str]]
"""What the agent itself wrote down of the turn that is over, as JSON: the step's `native`."""


@dataclass(frozen=True)
class AgentCommand:
    """The command of an agent, and the files that are kept of it."""

    script: str
    """The text for `sh -c`, run in the workspace."""
    setup: str = ""
    """A text for `sh -c` that is run before it, on nobody's clock."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts by name, for the agent's folder: `$SYNTHBENCH_AGENT_FOLDER`, outside of the workspace."""
    send: Sequence[str] = ()
    """Names in that folder that are wanted when it has ended."""
    idle_seconds: float = 300.0
    """Seconds without output and without a model call after which the agent counts as hung."""
    max_output_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True)
class AgentRun:
    """The end of an agent's run; its last step is recorded, and its output is kept."""

    result: RunResult
    calls: int
    files: Mapping[str, bytes]
    stopped: Ending | None
    """The ending for which we ended the agent; None where it ended by itself."""
    overflow: str
    """The gateway's message, if the last call was too long for the model; else empty."""

    def ending(self) -> Ending:
        """Return the ending of an agent whose exit code says whether it is content."""
        if self.stopped is not None:
            return self.stopped
        code, last_line = self.result.exit_code, _last_line(self.result)
        if code != 0 and self.overflow:
            return LimitReached(Outcome.TOKEN_LIMIT, self.overflow)
        if code != 0:
            how = f"was killed ({', '.join(self.result.hit)})" if code is None else f"ended with {code}"
            return AgentFailed(f"the agent {how}{': ' if last_line else ''}{last_line}")
        return Submitted(last_line) if self.calls else GaveUp("the agent ended without asking the model")


def seconds_of(arguments: Mapping[str, str], name: str, default: float) -> float:
    """Return a scaffold argument that is a number of seconds.

    Raises:
        AgentFailed: it is none.
    """
    text = arguments.get(name, str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise AgentFailed(f"{name}: a number of seconds, not {text!r}")
    return seconds


async def run_agent(world: World, command: AgentCommand, notes: Notes | None = None) -> AgentRun:
    """Run an agent to its end; each of its model calls is a step, safe before the next call goes out.

    Args:
        world: of a scaffold that is an `InsideScaffold`.
        command: what to run.
        notes: see `Notes`; asked once for each step.

    Raises:
        AgentFailed: its setup did not succeed.
        InfraFailure, OutOfMoney, Draining, Transient, SandboxError: as anywhere in an attempt.
    """
    assert world.socket is not None
    if command.setup:
        await _set_up(world, command)

    async def fetch(name: str) -> bytes | None:
        capture.wanted.add(name)
        await _inside(world, send=[name], seconds=_SEND_SECONDS)
        capture.wanted.discard(name)
        return capture.files.pop(name, None)

    native = partial(notes, fetch) if notes else None
    capture = ModelCallProxy(world, native, max_output=command.max_output_bytes)
    listener = Listener(capture, limits=SANDBOX_LIMITS)
    listener.serve_on(world.socket)
    try:
        result = await _to_its_end(world, command, capture)
        await capture.settle()
        sent = {name: await fetch(name) for name in command.send}
    finally:
        await listener.close(_CLOSE_SECONDS)
    for name, data in (("stdout", result.stdout_text), ("stderr", result.stderr_text)):
        await world.recorder.keep(f"agent/{name}.txt", data.encode(), "text/plain; charset=utf-8")
    files = {name: data for name, data in sent.items() if data is not None}
    return AgentRun(result, capture.calls, files, _ending(capture, result), capture.overflow)


async def _set_up(world: World, command: AgentCommand) -> None:
    result = await world.sandbox.run(
        ["sh", "-c", command.setup], env=command.env, timeout=world.clock.limits.max_seconds
    )
    if result.exit_code != 0:
        raise AgentFailed(f"the agent's setup ended with {result.exit_code}: {_last_line(result)}")


async def _to_its_end(world: World, command: AgentCommand, capture: ModelCallProxy) -> RunResult:
    capture.start()
    work = asyncio.create_task(_inside(world, command))
    over = asyncio.create_task(capture.over.wait())
    try:
        while not work.done() and not over.done():
            await asyncio.wait({work, over}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                _look(world, command, capture)
        if not work.done():
            await asyncio.wait({work}, timeout=_GRACE_SECONDS)
        if not work.done():
            await world.sandbox.kill()
        return await work
    finally:
        over.cancel()
        work.cancel()
        with suppress(asyncio.CancelledError, SandboxError):
            await work


def _look(world: World, command: AgentCommand, capture: ModelCallProxy) -> None:
    """Stop an agent that is out of time, or hangs."""
    most = world.clock.limits.max_seconds
    if capture.spent >= most:
        capture.stop(LimitReached(Outcome.TIME_LIMIT, f"{most:g} s are used up"))
    elif capture.idle_seconds > command.idle_seconds:
        reason = f"the agent hangs: no model call and no output for {command.idle_seconds:g} s"
        capture.stop(AgentFailed(reason))


async def _inside(
    world: World,
    command: AgentCommand | None = None,
    *,
    send: Sequence[str] = (),
    seconds: float = _LONGEST_SECONDS,
) -> RunResult:
    plan = {
        "socket": world.sandbox.socket_path(SOCKET),
        "argv": ["sh", "-c", command.script] if command else [],
        "env": dict(command.env) if command else {},
        "files": dict(command.files) if command else {},
        "send": list(send),
    }
    source = resources.files("synthbench.executor.capture").joinpath("inside.py").read_text("utf-8")
    return await world.sandbox.run([*_PYTHON, source], stdin=json.dumps(plan).encode(), timeout=seconds)


def _ending(capture: ModelCallProxy, result: RunResult) -> Ending | None:
    """Return the ending for which we ended the agent; None where it ended by itself.

    Raises:
        InfraFailure: it never began, or we failed.
    """
    if not capture.began:
        raise InfraFailure(f"the agent could not be started in the sandbox: {_last_line(result)}")
    reason = capture.stopped
    if reason is None or isinstance(reason, Ending):
        return reason
    raise reason


def _last_line(result: RunResult) -> str:
    lines = (result.stderr_text.strip() or result.stdout_text.strip()).splitlines()
    return lines[-1][:_TOLD_CHARACTERS] if lines else ""
