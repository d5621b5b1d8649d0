"""A command that is a child of this process: started, fed, and read in bounded memory."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.host.pidfds import watch_children
from synthbench.sandbox.host.running import RunningCommand

_LAST_WORDS = 5.0  # seconds after the end of the processes until their pipes must be at their end


@dataclass(frozen=True)
class Child:
    """A child process that shall be started.

    Args:
        argv: with the absolute path of the program first.
        env: the whole environment of the process.
        output_bytes: kept of each stream.
        cwd: None is the folder of this process.
        pass_fds: descriptors it inherits.
        stdin: what it is fed.
        uid: whom its pipes belong to, where we are root.
        become: start it as this user, where we are root and it does not change its user itself.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    output_bytes: int
    cwd: Path | None = None
    pass_fds: Sequence[int] = ()
    stdin: bytes = b""
    uid: int | None = None
    become: int | None = None


class OutputCapture(asyncio.SubprocessProtocol):
    """Takes both streams as they come; `exited` and `closed` (pipes, too) tell how far it is."""

    def __init__(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.streams = {1: HeadTail(limit), 2: HeadTail(limit)}
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep a piece of output, or count it."""
        self.streams[fd].feed(data)

    def process_exited(self) -> None:
        """The process ended; a child of it may still hold the pipes."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """The process ended and its pipes are closed."""
        if not self.closed.done():
            self.closed.set_result(None)


class _Feeding(asyncio.BaseProtocol):
    """Knows when the pipe to the child is closed."""

    over = False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Close the pipe: all was fed, or nobody reads."""
        self.over = True


class ChildCommand(RunningCommand):
    """A child of this process.

    Args:
        transport: asyncio's handle.
        capture: its output.
        stop: ends every process of the command.
    """

    def __init__(
        self, transport: asyncio.SubprocessTransport, capture: OutputCapture, stop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._capture = capture
        self._stop = stop
        self._stdin: asyncio.WriteTransport | None = None
        self._feeding = _Feeding()

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._transport.get_pid()

    @property
    def streams(self) -> Mapping[int, HeadTail]:
        """The output kept so far, by descriptor: 1 and 2."""
        return self._capture.streams

    @property
    def returncode(self) -> int | None:
        """The exit code; negative for a signal."""
        return self._transport.get_returncode()

    async def feed(self, pipe: int, data: bytes) -> None:
        """Write `data` to the pipe as the child reads it, then close it."""
        loop = asyncio.get_running_loop()
        self._stdin, _ = await loop.connect_write_pipe(lambda: self._feeding, os.fdopen(pipe, "wb", buffering=0))
        self._stdin.write(data)
        self._stdin.write_eof()

    async def until_exit(self) -> None:
        """Wait for the process that was started, not for what it left behind."""
        await asyncio.shield(self._capture.exited)

    async def stop(self) -> None:
        """End every process of the command; they are gone when this returns."""
        await self._stop()

    def kill_direct(self) -> None:
        """Kill the process we started; its children are the engine's business."""
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()

    async def last_words(self) -> None:
        """Read what is left in its pipes, and close them."""
        # wait() cancels what it waits for only by our word; the pipes are closed then anyway
        await asyncio.wait([self._capture.closed], timeout=_LAST_WORDS)
        self._transport.close()
        if self._stdin is not None and not self._feeding.over:
            self._stdin.abort()


async def start(child: Child, *, stop: Callable[[], Awaitable[None]]) -> ChildCommand:
    """Start a child in a session of its own, and begin to feed it.

    Raises:
        OSError: it cannot be started.
    """
    loop = asyncio.get_running_loop()
    watch_children()
    argv, become = _becoming(child)
    # a pipe, not asyncio's own socket pair: /dev/stdin of a socket cannot be opened
    near, far = os.pipe()
    try:
        transport, capture = await loop.subprocess_exec(
            lambda: OutputCapture(child.output_bytes),
            *argv,
            stdin=near,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(child.env),
            cwd=child.cwd,
            pass_fds=tuple(child.pass_fds),
            start_new_session=True,
            umask=0o022,
            **become,
        )
    except BaseException:
        os.close(far)
        raise
    finally:
        os.close(near)
    _give_pipes(transport, far, child.uid)
    running = ChildCommand(transport, capture, stop)
    await running.feed(far, child.stdin)
    return running


def _becoming(child: Child) -> tuple[Sequence[str], dict[str, Any]]:
    """Return the words and options that start a child as its user.

    It is by setpriv(1) where there is one, since Python gives up vfork when it changes the user itself.
    """
    if child.become is None:
        return child.argv, {}
    setpriv, uid = _setpriv(), str(child.become)
    if setpriv is None:
        return child.argv, {"user": child.become, "group": child.become, "extra_groups": ()}
    return [setpriv, "--reuid", uid, "--regid", uid, "--clear-groups", "--", *child.argv], {}


@cache
def _setpriv() -> str | None:
    return shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")


def _give_pipes(transport: asyncio.SubprocessTransport, stdin: int, uid: int | None) -> None:
    """Let the sandbox's user open /dev/stdin, /dev/stdout and /dev/stderr: both ends of a pipe share one owner."""
    if uid is None:
        return
    os.fchown(stdin, uid, uid)
    for stream in (1, 2):
        pipe = transport.get_pipe_transport(stream)
        file = pipe.get_extra_info("pipe") if pipe is not None else None
        if file is not None and not file.closed:  # a short command may have ended by now
            os.fchown(file.fileno(), uid, uid)
