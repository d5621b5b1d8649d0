"""The host's end of the channel: one long-lived connection to PID 1 of a sandbox, instead of a start a command.

Words go through two named pipes in a folder that the sandbox sees read-only; each command has pipes of its own for
its output, which the host opens first. Whoever is inside can at most spoil the results of commands of the same sandbox:
they run as one user, and are one domain of trust. See init.sh.
"""

import asyncio
import contextlib
import os
import shlex
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from importlib.resources import files
from pathlib import Path

from synthbench.sandbox.channel.command import ChannelCommand
from synthbench.sandbox.channel.slot import EMPTY, Slot
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.cwd import telling_cwd
from synthbench.sandbox.host.streams import OutputStream

INIT = "init.sh"
SHELL = "shell.sh"
_SCRIPTS = {name: files(__name__).joinpath(name).read_bytes() for name in (INIT, SHELL)}
_LONGEST = 65536  # bytes without a line's end
_BEAT = 5.0  # seconds between two signs of life; PID 1 looks each 15 s, and ends at the second look without one
_SWEEP = 5.0
_LOOK = 1.0
_CWD_DESCRIPTOR = 9
_BEGIN = 2.0  # seconds until a command must have begun, to be killed without the others
_LEFT = 128  # pipes of processes that outlived their command; more, and the oldest break
_BIG = 1 << 20  # bytes of input that are written in a thread
_STAYING = 'command -v bash >/dev/null 2>&1 && exec bash "$0" "$@"; exec sh "$0" "$@"'
_SILENT = "this process said nothing for half a minute, and the sandbox ended itself"


class ChannelBroken(SandboxError):
    """PID 1 is gone, or does not answer."""


class Channel:
    """The words between this process and PID 1 of one sandbox.

    Args:
        folder: made here, and shown inside at `inside`.
        inside: its path there.
        uid: whom the sandbox runs as, where that is not this process's own user.
        harder: kills PID 1 where it does not answer.
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
        self._silent = False
        self._commands: dict[int, ChannelCommand] = {}
        self._slots: list[Slot] = []
        self._left: deque[OutputStream] = deque()
        self._swept: dict[int, asyncio.Event] = {}
        self._beating: asyncio.TimerHandle | None = None
        self._last = self._last_slot = 0
        self.counts = Counts()
        """The counts that PID 1 reported last."""

    def make(self) -> None:
        """Make the folder and its pipes, and open them; blocks for some system calls."""
        self.folder.mkdir(mode=0o755)
        for name, text in _SCRIPTS.items():
            (self.folder / name).write_bytes(text)
        for name in ("ask", "told"):
            os.mkfifo(self.folder / name, 0o600)
            if self._uid is not None:
                os.chown(self.folder / name, self._uid, self._uid)
        # both ends: a write never waits, and nobody's end is the pipe's end before ours
        self._ask = os.open(self.folder / "ask", os.O_RDWR | os.O_NONBLOCK)
        self._told = os.open(self.folder / "told", os.O_RDONLY | os.O_NONBLOCK)

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
            raise ChannelBroken(f"PID 1 of the sandbox said nothing for {seconds:g} s") from None
        if self._gone.is_set():
            raise ChannelBroken("PID 1 of the sandbox ended at once")
        for name in ("ask", "told"):
            (self.folder / name).chmod(0)
            if self._uid is not None:
                os.chown(self.folder / name, 0, 0)
        self._beat()

    def _beat(self) -> None:
        """Tell PID 1 now and then that we live: where we hang, or are stopped, it ends by itself."""
        if not self._gone.is_set() and self._ask >= 0:
            with contextlib.suppress(BlockingIOError):  # it hangs itself; whoever wants something of it will be told
                os.write(self._ask, b"beat\n")
            self._beating = asyncio.get_running_loop().call_later(_BEAT, self._beat)

    @property
    def alive(self) -> bool:
        """Whether PID 1 runs, as far as is known."""
        return self._ready.is_set() and not self._gone.is_set()

    @property
    def lost_pid1(self) -> bool:
        """Whether PID 1 ended, and not because we hung up."""
        return self._ready.is_set() and self._gone.is_set() and self._ask >= 0

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
            case ["silent"]:
                self._silent = True
            case ["began", n, pid] if (command := self._command(n)) and pid.isdecimal():
                command.began(pid)
            case ["exit", n, "lost"] if command := self._command(n):
                command.exited(None)
            case ["exit", n, code, strays, ooms, forks] if (command := self._command(n)) and _numbers(
                code, ooms, forks
            ):
                self.counts = Counts(int(ooms), int(forks))
                command.exited(int(code), clean=strays == "0")
            case ["swept", n, ooms, forks] if _numbers(n, ooms, forks):
                self.counts = Counts(int(ooms), int(forks))
                if swept := self._swept.get(int(n)):
                    swept.set()
            case _:
                pass

    def _command(self, n: str) -> ChannelCommand | None:
        return self._commands.get(int(n)) if _numbers(n) else None

    def _lost(self) -> None:
        asyncio.get_running_loop().remove_reader(self._told)
        self._gone.set()
        self._ready.set()
        for command in self._commands.values():
            command.lost = _SILENT if self._silent else ""
            command.exited(None)
        for swept in self._swept.values():
            swept.set()

    def say(self, words: str) -> None:
        """Tell PID 1 something.

        Raises:
            ChannelBroken: it is gone, or has not read for long.
        """
        if self._gone.is_set() or self._ask < 0:
            raise ChannelBroken("the sandbox's PID 1 has ended")
        try:
            os.write(self._ask, f"{words}\n".encode())
        except BlockingIOError:
            raise ChannelBroken("PID 1 of the sandbox does not read any more") from None

    async def run(
        self,
        argv: Sequence[str],
        lines: Sequence[str],
        stdin: bytes,
        limit: int,
        *,
        track_cwd: bool,
        background: bool = False,
    ) -> ChannelCommand:
        """Start a command.

        Args:
            argv: looked up by the shell; not there is 127.
            lines: of shell, before it: its folder, environment and limits.
            stdin: what it reads.
            limit: bytes kept of each stream.
            track_cwd: learn where a `bash -c SCRIPT` ends.
            background: what it leaves running lives on.
        """
        slot = self._slots.pop() if self._slots else self._new_slot()
        try:
            if track_cwd:
                slot.cwd_pipe()
                argv = telling_cwd(argv, _CWD_DESCRIPTOR)
                lines = [*lines, f"exec {_CWD_DESCRIPTOR}>{self.inside}/{slot.number}.cwd"]
            given = await asyncio.to_thread(slot.feed, stdin) if len(stdin) > _BIG else slot.feed(stdin)
            return self._begin(slot, argv, lines, limit, given, background=background)
        except BaseException:
            slot.close()
            raise

    def _begin(
        self, slot: Slot, argv: Sequence[str], lines: Sequence[str], limit: int, given: str, *, background: bool
    ) -> ChannelCommand:
        slot.begin("\n".join([*lines, f"exec $own {shlex.join(argv)}", ""]), limit)
        self._last += 1
        self.say(f"run {self._last} {slot.number} {given}")
        command = self._commands[self._last] = ChannelCommand(self, self._last, slot, background=background)
        return command

    def shell(self, lines: Sequence[str], limit: int) -> ChannelCommand:
        """Start a shell that stays, bash where there is one; see shell.sh.

        Args:
            lines: of shell, before it: its folder, environment and limits.
            limit: bytes kept of each stream of each script.
        """
        slot = self._new_slot()
        try:
            slot.cwd_pipe()
            slot.words_pipe()
            where = [f"{self.inside}/{SHELL}", f"{self.inside}/{slot.number}"]
            return self._begin(slot, ["sh", "-c", _STAYING, *where], lines, limit, EMPTY, background=False)
        except BaseException:
            slot.close()
            raise

    def _new_slot(self) -> Slot:
        self._last_slot += 1
        return Slot(self.folder, self._last_slot, self._uid, self.inside)

    async def end(self, command: ChannelCommand) -> None:
        """Kill a command's processes: all that is inside, unless others run beside it or may stay."""
        others = any(not other.ended for other in self._commands.values() if other is not command)
        if (others or command.background) and await command.until_begun(_BEGIN):
            await self._sweep(command.pid)
            return
        await self._sweep("")
        command.clean = True

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
                raise ChannelBroken("a sandbox that was killed has not ended") from None
        finally:
            del self._swept[n]

    async def look_after(self, command: ChannelCommand) -> None:
        """Wait for its exit; ask now and then, since somebody inside may kill who would tell."""
        while not command.over.done():
            await asyncio.wait([command.over], timeout=_LOOK)
            if not command.over.done() and not self._gone.is_set():
                self.say(f"look {command.n} {command.slot.number} {command.pid}")

    def forget(self, command: ChannelCommand) -> None:
        """Take its files back; where somebody may still hold them, they are of no use to another command."""
        if self._commands.pop(command.n, None) is None:
            return
        slot = command.slot
        if command.clean and self.alive and self._told >= 0:
            self._slots.append(slot)
            return
        slot.close(reading=command.leaves)
        if command.leaves:
            self._keep_reading(slot.outputs)

    def _keep_reading(self, streams: Sequence[OutputStream]) -> None:
        """Read what those print who outlive their command, and drop it."""
        for stream in streams:
            stream.begin(0)
            self._left.append(stream)
        while len(self._left) > _LEFT:
            self._left.popleft().close()

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
        if self._beating is not None:
            self._beating.cancel()
        if self._ask >= 0:
            os.close(self._ask)
            self._ask = -1

    def closed(self) -> None:
        """Give back the other end; nobody waits for PID 1 any more."""
        self.close()
        while self._left:
            self._left.popleft().close()
        while self._slots:
            self._slots.pop().close()
        if self._told >= 0:
            if not self._gone.is_set():
                self._lost()
            os.close(self._told)
            self._told = -1


def _numbers(*words: str) -> bool:
    return all(word.isdecimal() and len(word) < 18 for word in words)
