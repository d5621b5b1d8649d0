"""The start of PID 1 by bwrap: its arguments, its limits, and the status that bwrap reports."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from synthbench.sandbox.channel.launcher import CHANNEL, FIRST, SOCKETS
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.cgroups import Cgroup, Counts
from synthbench.sandbox.host.child import Child, ChildCommand, start
from synthbench.sandbox.host.folders import SandboxFolders
from synthbench.sandbox.host.pid1 import ended_by_sigkill, kills_for_memory
from synthbench.sandbox.host.seccomp import filter_program
from synthbench.sandbox.host.system import PID1_SHELL, SANDBOX_PATH, BubblewrapProgram, SystemView
from synthbench.sandbox.host.uids import UidLease
from synthbench.sandbox.spec import SandboxSpec

_NO_START = "bwrap could not set the sandbox up"
_STATUS_SECONDS = 10.0
_WORDS = 4096  # bytes kept of what bwrap itself says
_ENVIRONMENT = {
    "PATH": SANDBOX_PATH,
    "HOME": "/home/agent",
    "USER": "agent",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - inside
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass
class BubblewrapInit:
    """Runs PID 1 of a sandbox in namespaces of its own, which live as long as it does."""

    program: BubblewrapProgram
    system: SystemView
    spec: SandboxSpec
    folders: SandboxFolders
    lease: UidLease | None
    cgroup: Cgroup | None
    _first: "_BubblewrapProcess | None" = None
    _out_of_memory: int = 0
    """Kills for want of memory, when the last command began."""

    async def start(self, number: int, folder: Path) -> None:  # noqa: ARG002 - as in the protocol
        """Start PID 1 with the folder of a channel mounted read-only at `CHANNEL`."""
        first = self._first = _BubblewrapProcess()
        uid = self.lease.uid if self.lease else None
        try:
            child = Child(
                argv=[*self._arguments(folder, first), "--", PID1_SHELL, *FIRST[1:]],
                env=self.program.env,
                output_bytes=_WORDS,
                cwd=Path("/"),
                pass_fds=first.given,
                uid=uid,
                become=uid,
            )
            try:
                first.running = await start(child, stop=first.stop)
            except OSError as error:
                raise SandboxError(f"{_NO_START} ({error})") from error
            finally:
                first.started()
            await first.begin(self.cgroup)
        except BaseException:
            await self.clean_up()
            raise

    def _arguments(self, folder: Path, first: "_BubblewrapProcess") -> list[str]:
        words = [str(self.program.path), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
        words += ["--as-pid-1", "--new-session", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]
        words += ["--clearenv", *self.system.arguments()]
        words += ["--bind", str(self.folders.tmp), "/tmp", "--bind", str(self.folders.home), "/home/agent"]  # noqa: S108 - inside
        words += ["--bind", str(self.folders.workspace), self.spec.workdir]
        for mount in self.spec.mounts.values():
            words += ["--ro-bind", str(mount.source), mount.target]
        words += ["--ro-bind", str(self.folders.top / "sockets"), SOCKETS, "--ro-bind", str(folder), CHANNEL]
        words += ["--remount-ro", "/", "--chdir", "/"]
        for name, value in _ENVIRONMENT.items():
            words += ["--setenv", name, value]
        words += ["--json-status-fd", str(first.status_write)]
        if self.cgroup is not None:
            words += ["--block-fd", str(first.gate_read())]
        program = filter_program()
        if program is not None:
            words += ["--seccomp", str(first.hand_over(program))]
        return words

    async def kill(self) -> None:
        """End PID 1 and everything inside, whatever it does."""
        if self._first is not None:
            await self._first.stop()

    def command_begins(self) -> None:
        """Note the count of kills for want of memory, with which `killed_from_outside` compares."""
        self._out_of_memory = self._memory_kills()

    async def killed_from_outside(self) -> bool:
        """Return whether it is proven that somebody outside, who was not we, ended PID 1."""
        if self._first is None or not await self._first.was_killed():
            return False
        return self._memory_kills() == self._out_of_memory

    def _memory_kills(self) -> int:
        """Return the kills for want of memory: of this sandbox where its cgroup counts them, else of the machine."""
        if self.cgroup is not None and "memory" in self.cgroup.folders:
            return self.cgroup.counts().oom_kills
        return kills_for_memory()

    async def clean_up(self) -> None:
        """Wait until the PID 1 that was started last is gone, and close its descriptors."""
        first, self._first = self._first, None
        if first is not None:
            await first.end()

    def counts(self) -> Counts:
        """Return how often the kernel has refused something so far, from the cgroup; zeros without one."""
        return self.cgroup.counts() if self.cgroup else Counts()

    async def aclose(self) -> None:
        """Remove the cgroup of the sandbox."""
        if self.cgroup:
            await self.cgroup.remove()


@dataclass
class _BubblewrapProcess:
    """One bwrap and its PID 1, with the descriptors that are shared with it, and the status that it reported."""

    running: ChildCommand | None = None
    given: list[int] = field(default_factory=list[int])
    _gate: int = -1
    _child: int = -1
    """A pidfd of PID 1."""
    _pid: int = 0
    _stopped: bool = False
    _status: bytes = b""

    def __post_init__(self) -> None:
        self._status_read, self.status_write = os.pipe()
        os.set_blocking(self._status_read, False)
        self.given.append(self.status_write)

    def gate_read(self) -> int:
        """BubblewrapInit's end of the pipe on which its child waits."""
        read, self._gate = os.pipe()
        self.given.append(read)
        return read

    def hand_over(self, data: bytes) -> int:
        """Return a descriptor from which bwrap reads `data`; it fits into a pipe."""
        read, write = os.pipe()
        os.write(write, data)
        os.close(write)
        self.given.append(read)
        return read

    def started(self) -> None:
        """Close bwrap's ends of the pipes, which it has inherited by now."""
        while self.given:
            os.close(self.given.pop())

    async def begin(self, cgroup: Cgroup | None) -> None:
        """Wait for PID 1, put it into its cgroup, and let it go on.

        Raises:
            SandboxError: it does not start, or its limits cannot be set.
        """
        try:
            async with asyncio.timeout(_STATUS_SECONDS):
                await self._first_words()
        except TimeoutError:
            raise SandboxError(f"bwrap said nothing for {_STATUS_SECONDS:g} s") from None
        if self._child < 0:
            assert self.running is not None
            await self.running.finish(timeout=_STATUS_SECONDS)
            stderr, _ = self.running.streams[2].kept()
            raise SandboxError(f"{_NO_START} ({stderr.decode(errors='replace').strip()[:300]})")
        if cgroup is not None:
            with suppress(ProcessLookupError):  # it ended already; its silence will tell
                try:
                    cgroup.add(self._pid)
                except ProcessLookupError:
                    raise
                except OSError as error:
                    raise SandboxError(f"the limits could not be set ({error})") from error
            os.write(self._gate, b"\n")

    async def _first_words(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._status_read, readable.set)
        try:
            while self._child < 0:
                await readable.wait()
                readable.clear()
                if not self._read_status():
                    return
        finally:
            loop.remove_reader(self._status_read)

    def _read_status(self) -> bool:
        """Read the status that bwrap wrote; return False at its end."""
        try:
            chunk = os.read(self._status_read, 65536)
        except BlockingIOError:
            return True
        self._status += chunk
        if self._child < 0 and b"\n" in self._status:
            self._pid = json.loads(self._status.split(b"\n")[0])["child-pid"]
            self._child = os.pidfd_open(self._pid)
        return bool(chunk)

    async def was_killed(self) -> bool:
        """Return whether PID 1 was ended by SIGKILL, and not by us."""
        return not self._stopped and self._child >= 0 and await ended_by_sigkill(self._child)

    async def stop(self) -> None:
        """Kill PID 1: the kernel ends it only after everything inside has ended, and bwrap after it."""
        self._stopped = True
        if self._child >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._child, signal.SIGKILL)
        elif self.running is not None:
            self.running.kill_direct()

    async def end(self) -> None:
        """Kill PID 1, wait until it is gone, and close every descriptor."""
        self.started()
        try:
            if self.running is not None:
                await self.running.end()
        finally:
            for descriptor in (self._status_read, self._gate, self._child):
                if descriptor >= 0:
                    os.close(descriptor)
            self._status_read = self._gate = self._child = -1
