"""One child process from start to end, with what it printed in bounded memory."""

import asyncio
import contextlib
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.children import watch_children
from synthbench.sandbox.protocol import LimitHit, RunResult

_LAST_WORDS = 5.0  # seconds after the end of the processes until their pipes must be at their end
_KILL = 20.0  # seconds until killed processes must be gone


class Capture(asyncio.SubprocessProtocol):
    """Takes both streams as they come; `exited` and `closed` (pipes, too) tell how far it is."""

    def __init__(self, limit: int) -> None:
        loop = asyncio.get_running_loop()
        self.streams = {1: HeadTail(limit), 2: HeadTail(limit)}
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep it or count it."""
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
        """All was fed, or nobody reads."""
        self.over = True


@dataclass(frozen=True)
class Child:
    """What to start.

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


@dataclass
class Ended:
    """How it ended; `returncode` is None where it was killed by us."""

    returncode: int | None
    timed_out: bool
    killed: bool
    seconds: float
    streams: Mapping[int, HeadTail] = field(repr=False)

    def result(self, *, exit_code: int | None, hit: tuple[LimitHit, ...] = (), cwd: str | None = None) -> RunResult:
        """As the caller of `Sandbox.run` gets it."""
        out, err = self.streams[1], self.streams[2]
        (stdout, stdout_cut), (stderr, stderr_cut) = out.kept(), err.kept()
        return RunResult(
            exit_code=exit_code,
            stdout=stdout,
            stderr=stderr,
            stdout_total=out.total,
            stderr_total=err.total,
            stdout_cut=stdout_cut,
            stderr_cut=stderr_cut,
            timed_out=self.timed_out,
            seconds=self.seconds,
            hit=hit,
            cwd=cwd,
        )


class Running(ABC):
    """A command that was started; always ended by `finish`."""

    def __init__(self) -> None:
        self._killed = False
        self._began = asyncio.get_running_loop().time()

    @property
    @abstractmethod
    def streams(self) -> Mapping[int, HeadTail]:
        """What it printed so far: 1 and 2."""

    @property
    @abstractmethod
    def returncode(self) -> int | None:
        """As the engine learned it; `Launched.exit_code` makes sense of it."""

    @abstractmethod
    async def until_exit(self) -> None:
        """Wait for the process we started, not for what it left behind."""

    @abstractmethod
    async def stop(self) -> None:
        """End every process of the command, and return when they are gone; called after each end, normal or not."""

    @abstractmethod
    async def last_words(self) -> None:
        """Read what is left in its pipes, and close them; its processes are gone."""

    def marked_killed(self) -> None:
        """Somebody ends it from outside: its exit code means nothing."""
        self._killed = True

    async def finish(self, *, timeout: float) -> Ended:  # noqa: ASYNC109 (a result, not an error)
        """Wait for it, and leave nothing of it, even when cancelled."""
        timed_out = False
        try:
            try:
                async with asyncio.timeout(timeout):
                    await self.until_exit()
            except TimeoutError:
                timed_out = self._killed = True
        finally:
            seconds = asyncio.get_running_loop().time() - self._began
            await _through(self.end())
        code = None if self._killed else self.returncode
        return Ended(returncode=code, timed_out=timed_out, killed=self._killed, seconds=seconds, streams=self.streams)

    async def end(self) -> None:
        """Kill what is left of it, and wait until it is gone and its pipes are read; twice is as good as once."""
        try:
            async with asyncio.timeout(_KILL):
                await self.stop()
                await self.until_exit()
        except TimeoutError as error:
            raise SandboxError(
                f"the processes of a command did not end within {_KILL:.0f} s of being killed",
                "look for processes in state D, or a kernel without free memory",
            ) from error
        finally:
            await self.last_words()


class ChildRunning(Running):
    """A child of this process.

    Args:
        transport: asyncio's handle.
        capture: its output.
        stop: ends every process of the command.
    """

    def __init__(
        self, transport: asyncio.SubprocessTransport, capture: Capture, stop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__()
        self._transport = transport
        self._capture = capture
        self._stop = stop
        self._stdin: asyncio.WriteTransport | None = None
        self._feeding = _Feeding()

    @property
    def pid(self) -> int:
        """The process we started."""
        return self._transport.get_pid()

    @property
    def streams(self) -> Mapping[int, HeadTail]:
        """See `Running`."""
        return self._capture.streams

    @property
    def returncode(self) -> int | None:
        """Negative for a signal."""
        return self._transport.get_returncode()

    async def feed(self, pipe: int, data: bytes) -> None:
        """Write `data` to the pipe as the child reads it, then close it."""
        loop = asyncio.get_running_loop()
        self._stdin, _ = await loop.connect_write_pipe(lambda: self._feeding, os.fdopen(pipe, "wb", buffering=0))
        self._stdin.write(data)
        self._stdin.write_eof()

    async def until_exit(self) -> None:
        """See `Running`."""
        await asyncio.shield(self._capture.exited)

    async def stop(self) -> None:
        """See `Running`."""
        await self._stop()

    def kill_direct(self) -> None:
        """Kill the process we started; its children are the engine's business."""
        with contextlib.suppress(ProcessLookupError):
            self._transport.kill()

    async def last_words(self) -> None:
        """See `Running`."""
        # wait() cancels what it waits for only by our word; the pipes are closed then anyway
        await asyncio.wait([self._capture.closed], timeout=_LAST_WORDS)
        self._transport.close()
        if self._stdin is not None and not self._feeding.over:
            self._stdin.abort()


async def start(child: Child, *, stop: Callable[[], Awaitable[None]]) -> ChildRunning:
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
            lambda: Capture(child.output_bytes),
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
    running = ChildRunning(transport, capture, stop)
    await running.feed(far, child.stdin)
    return running


def _becoming(child: Child) -> tuple[Sequence[str], dict[str, Any]]:
    """How it gets its user: by setpriv(1) where there is one, since Python gives up vfork when it has to do it."""
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


async def _through(work: Awaitable[None]) -> None:
    """Do it to the end although we are being cancelled, then pass the cancellation on."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def telling_cwd(argv: Sequence[str], descriptor: int) -> list[str]:
    """`bash -c SCRIPT` with a trap on the script's first line, so that line numbers stay; others unchanged."""
    words = list(argv)
    if words and words[0].rsplit("/", 1)[-1] == "bash":
        for index, word in enumerate(words[1:-1], start=1):
            if word.startswith("-") and not word.startswith("--") and word.endswith("c"):
                words[index + 1] = f"trap 'pwd -P 2>/dev/null >&{descriptor}' EXIT; {words[index + 1]}"
                break
    return words


def read_cwd(descriptor: int) -> str | None:
    """What came through a pipe that does not block, if it can be a folder."""
    try:
        lines = os.read(descriptor, 65536).decode().splitlines()
    except (BlockingIOError, UnicodeDecodeError):
        return None
    return lines[-1] if lines and lines[-1].startswith("/") else None


class CwdPipe:
    """Learns where a shell ended: bash writes its last folder to a pipe of its own in an EXIT trap.

    Best effort by design: a script that sets its own EXIT trap, execs, or is killed leaves no answer, and code inside
    may write what it likes; so the answer must be an absolute path, and nothing is decided by it but the next cwd.
    """

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)

    def started(self) -> None:
        """The child has its end now."""
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def answer(self) -> str | None:
        """The last folder, if there was an answer."""
        return read_cwd(self.read_end)

    def close(self) -> None:
        """Give back both ends."""
        self.started()
        if self.read_end >= 0:
            os.close(self.read_end)
            self.read_end = -1
