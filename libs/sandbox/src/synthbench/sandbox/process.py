"""The process engine: a folder, rlimits, and where we are root a uid of its own. **It does not isolate.**

For machines where neither bubblewrap nor Docker works. The scheduler lets it run library tasks with `sim/*` models
only, unless the operator allows more; every record says `isolated: false`.
"""

import asyncio
import os
import signal
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from synthbench.sandbox.errors import EngineUnavailable, SandboxError, SpecRefused
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.child import Child, ChildCommand, start
from synthbench.sandbox.host.cwd import CwdPipe, telling_cwd
from synthbench.sandbox.host.disk import HOW_DISK_IS_LIMITED, DiskWatch
from synthbench.sandbox.host.folders import SandboxFolders, make_folders_in_thread, make_root
from synthbench.sandbox.host.launching import Command
from synthbench.sandbox.host.local import LocalSandbox, OpenSandboxes, new_id
from synthbench.sandbox.host.metrics import creating
from synthbench.sandbox.host.processes import MARK, kill_all, marked
from synthbench.sandbox.host.reaping import Abandoned, EngineFolder, open_engine_folder, reap
from synthbench.sandbox.host.running import EndedCommand
from synthbench.sandbox.host.shell import limited
from synthbench.sandbox.host.sockets import socket_place
from synthbench.sandbox.host.system import find_python
from synthbench.sandbox.host.uids import UidLease, can_lease, lease_uid
from synthbench.sandbox.image import Image, ImageSource
from synthbench.sandbox.protocol import Isolation, Shell
from synthbench.sandbox.spec import SandboxSpec, refuse_foreign_system, refuse_images

_UNENFORCED = (
    "isolation: commands run on the host itself; they see its files, processes and network",
    "network: not cut off",
    "cpus: no cgroup",
    "memory_mb: held by address space for each process, not for all together",
    "pids: held only where the sandbox has a uid of its own",
    HOW_DISK_IS_LIMITED,
    "background processes: found by uid or by a mark in their environment, which they can drop",
)


class ProcessEngine:
    """Makes sandboxes that do not isolate.

    Args:
        root: folder for their files.
    """

    name = "process"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sandboxes = OpenSandboxes()
        self._folder: EngineFolder | None = None
        self._isolation: Isolation | None = None

    async def probe(self) -> Isolation:
        """Return what the engine offers, and warn that it does not isolate.

        Raises:
            EngineUnavailable: the folder cannot be written, or there is no Python for commands.
        """
        if self._isolation is None:
            try:
                await asyncio.to_thread(make_root, self._root)
                self._programs()
            except (SandboxError, OSError) as error:
                raise EngineUnavailable(f"process engine: {error}") from error
            structlog.get_logger("synthbench.sandbox").warning(
                "the process engine does not isolate: commands of agents run on this host", root=str(self._root)
            )
            self._isolation = Isolation(self.name, sys.platform, isolated=False, unenforced=_UNENFORCED)
        return self._isolation

    def _programs(self) -> Path:
        """Return a folder with `python3` and `python` for the PATH."""
        self._folder = open_engine_folder(self._root)
        folder = self._folder.path
        interpreter = find_python()
        for name in ("python3", "python"):
            (folder / name).symlink_to(interpreter)
        return folder

    async def image(self, source: ImageSource) -> Image:  # noqa: ARG002 - as in the protocol
        """Refuse: this engine has no images."""
        refuse_images(self.name)

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        """Make a folder with an empty workspace.

        Raises:
            SpecRefused: it asks for an image, root, mounts, or life in the background.
            EngineUnavailable, SandboxError: see `probe`; no room, no free uid.
        """
        if spec.background:
            raise SpecRefused("background: the process engine ends everything with its command", "use another engine")
        refuse_foreign_system(self.name, spec)
        if spec.mounts:
            raise SpecRefused("mounts: the process engine mounts nothing", "use the docker or the bubblewrap engine")
        isolation = await self.probe()
        with creating(self.name):
            return await self._make(spec, isolation)

    async def _make(self, spec: SandboxSpec, isolation: Isolation) -> LocalSandbox:
        assert self._folder is not None
        lease = lease_uid(self._root) if can_lease() else None
        uid = lease.uid if lease else None
        name = new_id()
        try:
            folders = await make_folders_in_thread(self._root, name, spec.owner, uid, self._folder.path.name)
        except BaseException:
            if lease:
                lease.release()
            raise
        launcher = _Processes(name, spec, folders, lease, self._folder.path)
        sockets = {socket: str(path) for socket, path in spec.sockets.items()}
        workdir = str(folders.workspace)
        sandbox = LocalSandbox(
            name, spec, isolation, workdir, folders, launcher, lease, sockets, self._sandboxes.forget
        )
        self._sandboxes.add(sandbox)
        return sandbox

    def socket_place(self) -> AbstractContextManager[Path]:
        """Return a path for a socket below the engine's folder; it goes with the context."""
        assert self._folder is not None
        return socket_place(self._folder.path)

    async def aclose(self) -> None:
        """Close every sandbox, and remove what the engine needed."""
        await self._sandboxes.close()
        if self._folder is not None:
            await asyncio.to_thread(self._folder.close)
            self._folder = None

    async def reap(self) -> list[str]:
        """Remove what killed processes of this engine left under the same root; return the owners of those sandboxes.

        Commands outlive a killed engine here: they are found by uid or by mark.
        """
        await self.probe()
        return await reap(self._root, self._end)

    async def _end(self, left: Abandoned) -> None:
        await kill_all(lambda: marked(left.name + ".", left.uid))


@dataclass
class _Processes:
    """Starts the commands of one sandbox."""

    id: str
    spec: SandboxSpec
    folders: SandboxFolders
    lease: UidLease | None
    programs: Path
    _commands: int = 0

    async def launch(self, command: Command) -> "_StartedProcess":
        """Start it in a session of its own."""
        self._commands += 1
        mark = f"{self.id}.{self._commands}"
        launched = _StartedProcess(mark, CwdPipe() if command.track_cwd else None)
        tracker = launched.tracker
        argv = telling_cwd(command.argv, tracker.write_end) if tracker else command.argv
        uid = self.lease.uid if self.lease else None
        child = Child(
            argv=limited(self.spec.limits, argv, memory=sys.platform == "linux", pids=uid is not None),
            env={**self._environment(), **command.env, MARK: mark},
            output_bytes=self.spec.limits.output_bytes,
            cwd=Path(command.cwd),
            pass_fds=[tracker.write_end] if tracker else [],
            stdin=command.stdin,
            uid=uid,
            become=uid,
        )
        try:
            launched.running = await start(child, stop=launched.stop)
        except BaseException as error:
            launched.close()
            if isinstance(error, OSError):
                raise SandboxError(f"the command could not be started ({error})") from error
            raise
        if tracker:
            tracker.started()
        return launched

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.folders.home),
            "TMPDIR": str(self.folders.tmp),
            "USER": "agent",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def shell(self, command: Command, disk: DiskWatch) -> Shell:  # noqa: ARG002 - as in the protocol
        """Refuse: this engine has no shell that stays.

        Raises:
            SpecRefused: always.
        """
        raise SpecRefused("shell: the process engine has no channel to keep one", "use docker or bubblewrap")

    def counts(self) -> Counts:
        """Return zeros: nothing counts them here."""
        return Counts()

    async def sweep(self) -> None:
        """Kill what is left, by uid or by mark, until nothing is found: what forks fast is met again."""
        await kill_all(lambda: marked(self.id + ".", self.lease.uid if self.lease else None))

    async def aclose(self) -> None:
        """Do nothing: the kernel keeps nothing for the sandbox."""


@dataclass
class _StartedProcess:
    """A command that runs in a session of its own."""

    mark: str
    tracker: CwdPipe | None
    running: ChildCommand = field(init=False)

    async def stop(self) -> None:
        """Kill its group, and what left the group but kept the mark."""
        pid = self.running.pid
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self.running.kill_direct()
        await kill_all(lambda: (process for process in marked(self.mark, None) if process != pid))

    async def exit_code(self, ended: EndedCommand) -> int | None:
        """Return the exit code as a shell sees it; None where the command was killed."""
        code = ended.returncode
        return None if ended.killed or code is None else code if code >= 0 else 128 - code

    def cwd(self) -> str | None:
        """Return the folder in which the command ended; None where nobody asked, or the shell could not say."""
        return self.tracker.answer() if self.tracker else None

    def close(self) -> None:
        """Close the pipe."""
        if self.tracker:
            self.tracker.close()
