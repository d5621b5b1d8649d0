"""The bubblewrap engine: each command is a fresh set of namespaces (about 5 ms) over the sandbox's own folders.

Nothing but the loopback of its own network namespace, no capability, no new privilege, a seccomp filter, a system that
is read-only, and a uid that nobody else has where we are root. Source: bwrap(1).
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthbench.sandbox.errors import EngineUnavailable, SandboxError
from synthbench.sandbox.host.cgroups import Cgroup, Cgroups, Counts, find_cgroups
from synthbench.sandbox.host.children import adopt_orphans, reap_orphan
from synthbench.sandbox.host.local import Command, LocalSandbox, OpenSandboxes, new_id
from synthbench.sandbox.host.metrics import creating
from synthbench.sandbox.host.places import Places, make_places, make_root
from synthbench.sandbox.host.processes import kill_all, naming, of_uid
from synthbench.sandbox.host.reaping import Abandoned, EngineFolder, open_engine_folder, reap
from synthbench.sandbox.host.running import Child, ChildRunning, CwdPipe, Ended, start, telling_cwd
from synthbench.sandbox.host.seccomp import filter_program
from synthbench.sandbox.host.shell import limited
from synthbench.sandbox.host.sockets import socket_place
from synthbench.sandbox.host.system import SANDBOX_PATH, BubblewrapProgram, SystemView, find_bubblewrap, find_system
from synthbench.sandbox.host.uids import UidLease, can_lease, lease_uid
from synthbench.sandbox.protocol import Isolation, SandboxSpec

_STATUS_SECONDS = 10.0
_SOCKETS = "/run/synthbench"
_PROBE_SECONDS = 15.0
_NO_START = "bwrap could not set the sandbox up"


class BubblewrapEngine:
    """Makes sandboxes with bwrap.

    Args:
        root: folder for their files; other users must be able to enter it where we are root.
    """

    name = "bubblewrap"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sandboxes = OpenSandboxes()
        self._cgroups: Cgroups | None = None
        self._folder: EngineFolder | None = None
        self._program: BubblewrapProgram | None = None
        self._system: SystemView | None = None
        self._isolation: Isolation | None = None
        self._probing = asyncio.Lock()

    async def probe(self) -> Isolation:
        """Run `true` in a sandbox.

        Raises:
            EngineUnavailable: it does not work here; with the reason and the mend.
        """
        async with self._probing:
            if self._isolation is None:
                self._isolation = await self._try()
            return self._isolation

    async def _try(self) -> Isolation:
        if sys.platform != "linux":
            raise EngineUnavailable("bubblewrap needs Linux", "use the docker engine here")
        try:
            await asyncio.to_thread(self._prepare)
        except (SandboxError, OSError) as error:
            raise EngineUnavailable(f"bubblewrap: {error}") from error
        assert self._program is not None
        assert self._cgroups is not None
        unenforced = [f"{name}: {reason}" for name, reason in self._cgroups.missing.items()]
        unenforced.append("disk_mb: a folder of the host has no quota; only the size of single files is held")
        isolation = Isolation("bubblewrap", self._program.version, isolated=True, unenforced=tuple(unenforced))
        sandbox = await self._make(SandboxSpec(owner="probe"), isolation)
        try:
            result = await sandbox.run(["true"], timeout=_PROBE_SECONDS)
        except SandboxError as error:
            raise EngineUnavailable(
                f"bubblewrap cannot start a process: {error.cause}",
                "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, on Ubuntu "
                "kernel.apparmor_restrict_unprivileged_userns=0, in a container --security-opt seccomp=unconfined)",
            ) from error
        finally:
            await sandbox.close()
        if result.exit_code != 0:
            raise EngineUnavailable(
                f"bubblewrap started, but `true` ended with {result.exit_code}: {result.stderr_text[:200]}"
            )
        return isolation

    def _prepare(self) -> None:
        make_root(self._root)
        adopt_orphans()
        self._folder = open_engine_folder(self._root)
        self._program = find_bubblewrap(self._folder.path)
        self._system = find_system(self._folder.path)
        self._cgroups = find_cgroups()

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        """Make a sandbox with an empty workspace.

        Raises:
            EngineUnavailable: bubblewrap does not work here.
            SandboxError: no room, no free uid.
        """
        isolation = await self.probe()
        with creating(self.name):
            return await self._make(spec, isolation)

    async def _make(self, spec: SandboxSpec, isolation: Isolation) -> LocalSandbox:
        assert self._folder is not None
        assert self._program is not None
        assert self._system is not None
        assert self._cgroups is not None
        lease = lease_uid(self._root) if can_lease() else None
        name = new_id()
        uid = lease.uid if lease else None
        try:
            places = await asyncio.to_thread(make_places, self._root, name, spec.owner, uid, self._folder.path.name)
        except BaseException:
            if lease:
                lease.release()
            raise
        cgroup, isolation = self._group(name, spec, isolation)
        held = frozenset(self._cgroups.parents) if cgroup else frozenset[str]()
        launcher = _Bwrap(self._program, self._system, spec, places, lease, cgroup, held)
        sockets = {socket: f"{_SOCKETS}/{socket}.sock" for socket in spec.sockets}
        sandbox = LocalSandbox(
            name, spec, isolation, spec.workdir, places, launcher, lease, sockets, self._sandboxes.forget
        )
        self._sandboxes.add(sandbox)
        return sandbox

    def _group(self, name: str, spec: SandboxSpec, isolation: Isolation) -> tuple[Cgroup | None, Isolation]:
        assert self._cgroups is not None
        if not self._cgroups.parents:
            return None, isolation
        try:
            return self._cgroups.create(name, spec.limits), isolation
        except OSError as error:  # it worked at the probe; say in this record that it did not now
            lost = tuple(f"{controller}: {error.strerror}" for controller in self._cgroups.parents)
            return None, replace(isolation, unenforced=isolation.unenforced + lost)

    def socket_place(self) -> AbstractContextManager[Path]:
        """See the protocol."""
        assert self._folder is not None
        return socket_place(self._folder.path)

    async def aclose(self) -> None:
        """Close every sandbox, and remove what the engine needed."""
        await self._sandboxes.close()
        if self._folder is not None:
            await asyncio.to_thread(self._folder.close)
            self._folder = None

    async def reap(self) -> list[str]:
        """See the protocol. A bwrap dies with its engine, unless that died before it could ask the kernel for it."""
        await self.probe()
        return await reap(self._root, self._end)

    async def _end(self, left: Abandoned) -> None:
        assert self._cgroups is not None
        await kill_all(lambda: naming(f"{left.folder}/"))  # bwrap itself: its sandbox dies with it
        if left.uid is not None:
            uid = left.uid
            await kill_all(lambda: of_uid(uid))
        await self._cgroups.existing(left.name).destroy()


@dataclass
class _Bwrap:
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
        words += ["--bind", str(self.places.workspace), workdir, "--dir", _SOCKETS]
        for name, socket in self.spec.sockets.items():
            words += ["--bind", str(socket), f"{_SOCKETS}/{name}.sock"]
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
