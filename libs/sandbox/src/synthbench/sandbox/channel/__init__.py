"""The host's end of the channel: one long-lived connection to PID 1 of a container, instead of an exec a command.

Words go through two named pipes in a folder that the container sees read-only; each command has pipes of its own for
its output, which the host opens first. Whoever is inside can at most spoil the results of commands of the same sandbox:
they run as one user, and are one domain of trust. See init.sh.
"""

import asyncio
import contextlib
import os
import shlex
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.running import Running, read_cwd, telling_cwd
from synthbench.sandbox.host.streams import OutputStream, until_over

INIT = "init.sh"
_LONGEST = 65536  # bytes without a line's end
_LAST_WORDS = 5.0
_SWEEP = 5.0
_LOOK = 1.0
_CWD_DESCRIPTOR = 9
_BEGIN = 2.0  # seconds until a command must have begun, to be killed without the others
_LEFT = 128  # pipes of processes that outlived their command; more, and the oldest break


class ChannelBroken(SandboxError):
    """PID 1 is gone, or does not answer."""


class Channel:
    """The words between this process and PID 1 of one container.

    Args:
        folder: made here, and shown to the container at `inside`.
        inside: its path there.
        uid: whom the container runs as, where that is not this process's own user.
        harder: kills the container where PID 1 does not answer.
    """

    def __init__(self, folder: Path, inside: str, uid: int | None, harder: Callable[[], Awaitable[None]]) -> None:
        self.folder = folder
        self.inside = inside
        self._uid = uid
        self._harder = harder
        self._ask = self._told = -1
        self._said = b""
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._commands: dict[int, ChannelRunning] = {}
        self._left: deque[OutputStream] = deque()
        self._swept: dict[int, asyncio.Event] = {}
        self._last = 0
        self.counts = Counts()
        """As PID 1 told them last."""

    def make(self) -> None:
        """Make the folder and its pipes, and open them; blocks for some system calls."""
        self.folder.mkdir(mode=0o755)
        (self.folder / INIT).write_bytes(files(__name__).joinpath(INIT).read_bytes())
        for name in ("ask", "told"):
            os.mkfifo(self.folder / name, 0o600)
            self.give(self.folder / name)
        # both ends: a write never waits, and nobody's end is the pipe's end before ours
        self._ask = os.open(self.folder / "ask", os.O_RDWR | os.O_NONBLOCK)
        self._told = os.open(self.folder / "told", os.O_RDONLY | os.O_NONBLOCK)

    def give(self, path: Path) -> None:
        """Make the container's user its owner."""
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)

    async def ready(self, seconds: float) -> None:
        """Wait for PID 1's first word; then nobody inside can open the two pipes any more.

        Raises:
            ChannelBroken: it ended, or said nothing for so long.
        """
        asyncio.get_running_loop().add_reader(self._told, self._read)
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            raise ChannelBroken(f"PID 1 of the container said nothing for {seconds:g} s") from None
        if self._gone.is_set():
            raise ChannelBroken("PID 1 of the container ended at once")
        for name in ("ask", "told"):
            (self.folder / name).chmod(0)
            if self._uid is not None:
                os.chown(self.folder / name, 0, 0)

    @property
    def alive(self) -> bool:
        """Whether PID 1 is there, as far as we know."""
        return self._ready.is_set() and not self._gone.is_set()

    def _read(self) -> None:
        try:
            chunk = os.read(self._told, 65536)
        except BlockingIOError:
            return
        *lines, self._said = (self._said + chunk).split(b"\n")
        for line in lines:
            self._hear(line.decode(errors="replace").split())
        if not chunk or len(self._said) > _LONGEST:
            self._lost()

    def _hear(self, words: Sequence[str]) -> None:
        """Take a line in; what cannot be from PID 1 is nothing to us."""
        match words:
            case ["ready"]:
                self._ready.set()
            case ["began", n, pid] if (command := self._command(n)) and pid.isdecimal():
                command.began(pid)
            case ["exit", n, code] if command := self._command(n):
                command.exited(int(code) if code.isdecimal() else None)
            case ["swept", n, ooms, pids] if (ooms + pids).isdecimal() and n.isdecimal():
                self.counts = Counts(int(ooms), int(pids))
                if swept := self._swept.get(int(n)):
                    swept.set()
            case _:
                pass

    def _command(self, n: str) -> "ChannelRunning | None":
        return self._commands.get(int(n)) if n.isdecimal() and len(n) < 12 else None

    def _lost(self) -> None:
        asyncio.get_running_loop().remove_reader(self._told)
        self._gone.set()
        self._ready.set()
        for command in self._commands.values():
            command.exited(None)
        for swept in self._swept.values():
            swept.set()

    def say(self, words: str) -> None:
        """Tell PID 1 something.

        Raises:
            ChannelBroken: it is gone, or has not read for long.
        """
        if self._gone.is_set():
            raise ChannelBroken("the container has ended")
        try:
            os.write(self._ask, f"{words}\n".encode())
        except BlockingIOError:
            raise ChannelBroken("PID 1 of the container does not read any more") from None

    async def run(
        self,
        argv: Sequence[str],
        lines: Sequence[str],
        stdin: bytes,
        limit: int,
        *,
        track_cwd: bool,
        background: bool = False,
    ) -> "ChannelRunning":
        """Start a command.

        Args:
            argv: looked up by the shell; not there is 127.
            lines: of shell, before it: its folder, environment and limits.
            stdin: what it reads.
            limit: bytes kept of each stream.
            track_cwd: learn where a `bash -c SCRIPT` ends.
            background: what it leaves running lives on.
        """
        self._last += 1
        n = self._last
        command = ChannelRunning(self, n, background=background)
        self._commands[n] = command
        try:
            if track_cwd:
                argv = telling_cwd(argv, _CWD_DESCRIPTOR)
                lines = [*lines, f"exec {_CWD_DESCRIPTOR}>{self.inside}/{n}.cwd"]
            script = "\n".join([*lines, f"exec $own {shlex.join(argv)}", ""])
            await command.prepare(script, stdin, limit, track_cwd=track_cwd)
            self.say(f"run {n}")
        except BaseException:
            command.close()
            raise
        return command

    async def end(self, command: "ChannelRunning") -> None:
        """Kill a command's processes: all that is inside, unless others run beside it or may stay."""
        others = any(not other.ended for other in self._commands.values() if other is not command)
        group = (others or command.background) and await command.until_begun(_BEGIN)
        await self._sweep(command.pid if group else "")

    def keep_reading(self, streams: Sequence[OutputStream]) -> None:
        """Read what those print who outlive their command, and drop it."""
        self._left = deque(stream for stream in self._left if not stream.over.done())
        for stream in streams:
            stream.let_go()
            self._left.append(stream)
        while len(self._left) > _LEFT:
            self._left.popleft().close()

    async def sweep(self) -> None:
        """Kill everything inside but PID 1; it is gone when this returns."""
        await self._sweep("")

    async def _sweep(self, pid: str) -> None:
        """Kill the group of a process, or everything."""
        if self._gone.is_set():
            return
        self._last += 1
        n = self._last
        swept = self._swept[n] = asyncio.Event()
        try:
            self.say(f"end {n} {pid}" if pid else f"sweep {n}")
            async with asyncio.timeout(_SWEEP):
                await swept.wait()
        except (TimeoutError, ChannelBroken):
            await self._harder()
            if not await self.until_gone(_SWEEP):
                raise ChannelBroken("a container that was killed has not ended") from None
        finally:
            del self._swept[n]

    async def look_after(self, command: "ChannelRunning") -> None:
        """Wait for its exit; ask now and then, since somebody inside may kill who would tell."""
        while not command.over.done():
            await asyncio.wait([command.over], timeout=_LOOK)
            if not command.over.done() and not self._gone.is_set():
                self.say(f"look {command.n}")

    def forget(self, n: int) -> None:
        """Its pipes are closed."""
        self._commands.pop(n, None)

    async def until_gone(self, seconds: float) -> bool:
        """Wait for PID 1's end."""
        try:
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Hang up: PID 1 ends by that, and everything inside with it."""
        if self._ask >= 0:
            os.close(self._ask)
            self._ask = -1

    def closed(self) -> None:
        """Give back the other end; nobody waits for PID 1 any more."""
        self.close()
        while self._left:
            self._left.popleft().close()
        if self._told >= 0:
            if not self._gone.is_set():
                self._lost()
            os.close(self._told)
            self._told = -1


class ChannelRunning(Running):
    """A command that PID 1 started."""

    def __init__(self, channel: Channel, n: int, *, background: bool) -> None:
        super().__init__()
        self.n = n
        self.pid = ""
        self.background = background
        self.over: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self._channel = channel
        self._begun = asyncio.Event()
        self._outputs: tuple[OutputStream, ...] = ()
        self._kept: dict[int, HeadTail] = {}
        self._cwd = -1

    async def prepare(self, script: str, stdin: bytes, limit: int, *, track_cwd: bool) -> None:
        """Put its script, its input and its pipes in place."""
        self._put("command", script.encode())
        if len(stdin) > 1 << 20:
            await asyncio.to_thread(self._put, "in", stdin)
        else:
            self._put("in", stdin)
        for number, name in enumerate(("out", "err"), start=1):
            output = OutputStream(self._pipe(name), limit)
            self._outputs = (*self._outputs, output)
            self._kept[number] = output.kept
        if track_cwd:
            self._cwd = self._pipe("cwd")

    def _path(self, name: str) -> Path:
        return self._channel.folder / f"{self.n}.{name}"

    def _put(self, name: str, data: bytes) -> None:
        path = self._path(name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(data)
        self._channel.give(path)

    def _pipe(self, name: str) -> int:
        path = self._path(name)
        os.mkfifo(path, 0o600)
        self._channel.give(path)
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    @property
    def streams(self) -> Mapping[int, HeadTail]:
        """See `Running`."""
        return self._kept

    @property
    def returncode(self) -> int | None:
        """As PID 1's shell saw it; None where nobody could tell."""
        return self.over.result() if self.over.done() else None

    def began(self, pid: str) -> None:
        """PID 1 told which process it is."""
        self.pid = pid
        self._begun.set()

    async def until_begun(self, seconds: float) -> bool:
        """Wait until it can be killed alone; whether it can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._begun.wait()
        return bool(self.pid)

    def exited(self, code: int | None) -> None:
        """PID 1 told."""
        if not self.over.done():
            self.over.set_result(code)
        self._begun.set()

    @property
    def _leaves(self) -> bool:
        """Whether it ended by itself, and what it left may stay."""
        return self.background and not self._killed and self.returncode is not None

    async def until_exit(self) -> None:
        """See `Running`."""
        await self._channel.look_after(self)

    async def stop(self) -> None:
        """See `Running`."""
        if self.ended:
            return
        if not self._leaves:
            await self._channel.end(self)
        self.ended = True
        self.exited(None)

    async def last_words(self) -> None:
        """See `Running`."""
        if not self._leaves:
            await until_over(self._outputs, _LAST_WORDS)
            return
        for output in self._outputs:
            output.drain()
        self._channel.keep_reading(self._outputs)
        self._outputs = ()

    def cwd(self) -> str | None:
        """Where it ended, if that was asked for and told."""
        return read_cwd(self._cwd) if self._cwd >= 0 else None

    def close(self) -> None:
        """Remove its pipes."""
        for output in self._outputs:
            output.close()
        if self._cwd >= 0:
            os.close(self._cwd)
            self._cwd = -1
        for name in ("command", "in", "out", "err", "cwd"):
            self._path(name).unlink(missing_ok=True)
        self._channel.forget(self.n)
