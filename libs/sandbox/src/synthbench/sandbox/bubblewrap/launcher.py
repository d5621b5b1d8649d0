"""How bwrap starts a command: its arguments, and what it tells of its start."""

import asyncio
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.cgroups import Cgroup, Counts
from synthbench.sandbox.host.children import reap_orphan
from synthbench.sandbox.host.local import Command
from synthbench.sandbox.host.places import Places
from synthbench.sandbox.host.running import Child, ChildRunning, CwdPipe, Ended, start, telling_cwd
from synthbench.sandbox.host.seccomp import filter_program
from synthbench.sandbox.host.shell import limited
from synthbench.sandbox.host.system import SANDBOX_PATH, BubblewrapProgram, SystemView
from synthbench.sandbox.host.uids import UidLease
from synthbench.sandbox.protocol import SandboxSpec

SOCKETS = "/run/synthbench"
"""Where a sandbox finds its sockets."""
_NO_START = "bwrap could not set the sandbox up"
_STATUS_SECONDS = 10.0


@dataclass
class Bwrap:
    """Starts the commands of one sandbox."""

    program: BubblewrapProgram
    system: SystemView
    spec: SandboxSpec
    places: Places
    lease: UidLease | None
    cgroup: Cgroup | None
    held: frozenset[str]

    async def launch(self, command: Command) -> "_Launched":
        """Start bwrap; the command begins when its limits are set."""
        launched = _Launched(CwdPipe() if command.track_cwd else None)
        argv = [*self._arguments(command, launched), "--", *self._command(launched.wrapped(command.argv))]
        child = Child(
            argv=argv,
            env=self.program.env,
            output_bytes=self.spec.limits.output_bytes,
            cwd=Path("/"),
            pass_fds=[*launched.given, *launched.cwd_descriptors()],
            stdin=command.stdin,
            uid=self.lease.uid if self.lease else None,
            become=self.lease.uid if self.lease else None,
        )
        try:
            try:
                launched.running = await start(child, stop=launched.stop)
            except OSError as error:
                raise SandboxError(f"{_NO_START} ({error})") from error
            finally:
                launched.started()
            await launched.begin(self.cgroup)
        except BaseException:
            launched.close()
            raise
        return launched

    def _command(self, argv: Sequence[str]) -> list[str]:
        return limited(
            self.spec.limits,
            argv,
            memory="memory" not in self.held,
            pids="pids" not in self.held and self.lease is not None,
        )

    def _arguments(self, command: Command, launched: "_Launched") -> list[str]:
        workdir = self.spec.workdir
        words = [str(self.program.path), "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
        words += ["--new-session", "--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--clearenv"]
        words += self.system.arguments()
        words += ["--bind", str(self.places.tmp), "/tmp", "--bind", str(self.places.home), "/home/agent"]  # noqa: S108 - inside
        words += ["--bind", str(self.places.workspace), workdir, "--dir", SOCKETS]
        for mount in self.spec.mounts.values():
            words += ["--ro-bind", str(mount.source), mount.target]
        for name, socket in self.spec.sockets.items():
            words += ["--bind", str(socket), f"{SOCKETS}/{name}.sock"]
        words += ["--remount-ro", "/", "--chdir", command.cwd]
        for name, value in {**_ENVIRONMENT, **command.env, "PWD": command.cwd}.items():
            words += ["--setenv", name, value]
        words += ["--json-status-fd", str(launched.status_write)]
        if self.cgroup is not None:
            words += ["--block-fd", str(launched.gate_read())]
        program = filter_program()
        if program is not None:
            words += ["--seccomp", str(launched.hand_over(program))]
        return words

    def counts(self) -> Counts:
        """From the cgroup."""
        return self.cgroup.counts() if self.cgroup else Counts()

    async def sweep(self) -> None:
        """Nothing outlives its command here: the namespace went with it."""

    async def aclose(self) -> None:
        """Remove the cgroup."""
        if self.cgroup:
            await self.cgroup.remove()


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
class _Launched:
    """One running bwrap: the descriptors we share with it, and what it told us."""

    tracker: CwdPipe | None
    running: ChildRunning = field(init=False)
    given: list[int] = field(default_factory=list[int])
    _gate: int = -1
    _child: int = -1
    """A pidfd of the first process inside."""
    _pid: int = 0
    _gone: asyncio.Event | None = None
    _status: bytes = b""

    def __post_init__(self) -> None:
        self._status_read, self.status_write = os.pipe()
        os.set_blocking(self._status_read, False)
        self.given.append(self.status_write)

    def gate_read(self) -> int:
        """Bwrap's end of the pipe on which its child waits."""
        read, self._gate = os.pipe()
        self.given.append(read)
        return read

    def hand_over(self, data: bytes) -> int:
        """A descriptor from which bwrap reads `data`; it fits into a pipe."""
        read, write = os.pipe()
        os.write(write, data)
        os.close(write)
        self.given.append(read)
        return read

    def wrapped(self, argv: Sequence[str]) -> Sequence[str]:
        """The command, made to tell where it ends."""
        return telling_cwd(argv, self.tracker.write_end) if self.tracker else argv

    def cwd_descriptors(self) -> Sequence[int]:
        """What it tells that through."""
        return [self.tracker.write_end] if self.tracker else []

    def cwd(self) -> str | None:
        """See `Launched`."""
        return self.tracker.answer() if self.tracker else None

    def started(self) -> None:
        """Bwrap has its ends now."""
        while self.given:
            os.close(self.given.pop())
        if self.tracker:
            self.tracker.started()

    async def begin(self, cgroup: Cgroup | None) -> None:
        """Wait for the first process inside, put it into its group, and let it go on."""
        try:
            async with asyncio.timeout(_STATUS_SECONDS):
                await self._first_words()
        except TimeoutError:
            await self.running.end()
            raise SandboxError(f"bwrap said nothing for {_STATUS_SECONDS:g} s") from None
        if self._child < 0:
            await self.running.finish(timeout=_STATUS_SECONDS)
            out, _ = self.running.streams[2].kept()
            raise SandboxError(f"{_NO_START} ({out.decode(errors='replace').strip()[:300]})")
        if cgroup is not None:
            try:
                cgroup.add(self._pid)
            except ProcessLookupError:
                pass  # it ended already; the result will tell
            except OSError as error:
                await self.running.end()
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
        """Take in what bwrap wrote; False at the end."""
        try:
            chunk = os.read(self._status_read, 65536)
        except BlockingIOError:
            return True
        self._status += chunk
        if self._child < 0 and b"\n" in self._status:
            self._pid = json.loads(self._status.split(b"\n")[0])["child-pid"]
            self._child = os.pidfd_open(self._pid)
        return bool(chunk)

    async def stop(self) -> None:
        """Kill the namespace's init and wait for it: the kernel ends it only after everything inside has ended."""
        if self._child < 0:
            self.running.kill_direct()
            return
        try:
            signal.pidfd_send_signal(self._child, signal.SIGKILL)
        except ProcessLookupError:
            return
        if self._gone is None:  # several may want its end: a timeout, `kill`, the end itself
            self._gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(self._child, self._ended)
        await self._gone.wait()

    def _ended(self) -> None:
        assert self._gone is not None
        asyncio.get_running_loop().remove_reader(self._child)
        self._gone.set()

    def exit_code(self, ended: Ended) -> int | None:
        """The command's own code; bwrap's failures are ours."""
        if ended.killed:
            return None
        while self._read_status():
            if b'"exit-code"' in self._status:
                break
        for line in self._status.splitlines()[1:]:
            if "exit-code" in (said := json.loads(line)):
                code: int = said["exit-code"]
                return code
        stderr, _ = ended.streams[2].kept()
        raise SandboxError(f"{_NO_START} ({stderr.decode(errors='replace').strip()[:300] or ended.returncode})")

    def close(self) -> None:
        """Give back every descriptor."""
        self.started()
        if self.tracker:
            self.tracker.close()
        if self._gone is not None and not self._gone.is_set():
            self._ended()
        if self._pid:
            reap_orphan(self._pid)  # bwrap ends as soon as the command did, before the namespace's init
        for fd in (self._status_read, self._gate, self._child):
            if fd >= 0:
                os.close(fd)
        self._status_read = self._gate = self._child = -1
