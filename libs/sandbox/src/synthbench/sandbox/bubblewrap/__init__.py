"""The bubblewrap engine: one set of namespaces for each sandbox over its own folders, commands through one channel.

Nothing but the loopback of its own network namespace, no capability, no new privilege, a seccomp filter, a system that
is read-only, and a uid that nobody else has where we are root. Source: bwrap(1).
"""

import asyncio
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from synthbench.sandbox.bubblewrap.launcher import BubblewrapInit
from synthbench.sandbox.channel.launcher import OWN_PROCESSES, SOCKETS, ChannelLauncher
from synthbench.sandbox.errors import EngineUnavailable, SandboxError
from synthbench.sandbox.host.cgroups import Cgroup, Cgroups, find_cgroups
from synthbench.sandbox.host.disk import HOW_DISK_IS_LIMITED
from synthbench.sandbox.host.folders import make_folders_in_thread, make_root
from synthbench.sandbox.host.local import LocalSandbox, OpenSandboxes, new_id
from synthbench.sandbox.host.metrics import creating
from synthbench.sandbox.host.processes import kill_all, naming, of_uid
from synthbench.sandbox.host.reaping import Abandoned, EngineFolder, open_engine_folder, reap
from synthbench.sandbox.host.shell import limit_lines
from synthbench.sandbox.host.sockets import socket_place
from synthbench.sandbox.host.system import BubblewrapProgram, SystemView, find_bubblewrap, find_system
from synthbench.sandbox.host.uids import can_lease, lease_uid
from synthbench.sandbox.image import Image, ImageSource
from synthbench.sandbox.protocol import Isolation
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec, refuse_foreign_system, refuse_images

_PROBE_SECONDS = 15.0


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
        unenforced.append(HOW_DISK_IS_LIMITED)
        isolation = Isolation(self.name, self._program.version, isolated=True, unenforced=tuple(unenforced))
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
        self._folder = open_engine_folder(self._root)
        self._program = find_bubblewrap(self._folder.path)
        self._system = find_system(self._folder.path)
        self._cgroups = find_cgroups()

    async def image(self, source: ImageSource) -> Image:  # noqa: ARG002 - as in the protocol
        """Refuse: this engine has no images."""
        refuse_images(self.name)

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        """Make a sandbox with an empty workspace.

        Raises:
            EngineUnavailable: bubblewrap does not work here.
            SpecRefused: it asks for an image, or for root.
            SandboxError: no room, no free uid.
        """
        refuse_foreign_system(self.name, spec)
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
            folders = await make_folders_in_thread(self._root, name, spec.owner, uid, self._folder.path.name)
        except BaseException:
            if lease:
                lease.release()
            raise
        cgroup, isolation = self._group(name, spec, isolation)
        held = frozenset(self._cgroups.parents) if cgroup else frozenset[str]()
        lines = limit_lines(
            _with_ours(spec.limits), memory="memory" not in held, pids="pids" not in held and lease is not None
        )
        launcher = ChannelLauncher(
            init=BubblewrapInit(self._program, self._system, spec, folders, lease, cgroup),
            folders=folders,
            limits=lines,
            output_bytes=spec.limits.output_bytes,
            uid=uid,
            sockets=spec.sockets,
            background=spec.background,
        )
        sockets = {socket: f"{SOCKETS}/{socket}.sock" for socket in spec.sockets}
        sandbox = LocalSandbox(
            name, spec, isolation, spec.workdir, folders, launcher, lease, sockets, self._sandboxes.forget
        )
        self._sandboxes.add(sandbox)
        return sandbox

    def _group(self, name: str, spec: SandboxSpec, isolation: Isolation) -> tuple[Cgroup | None, Isolation]:
        assert self._cgroups is not None
        if not self._cgroups.parents:
            return None, isolation
        try:
            return self._cgroups.create(name, _with_ours(spec.limits)), isolation
        except OSError as error:  # it worked at the probe; say in this record that it did not now
            lost = tuple(f"{controller}: {error.strerror}" for controller in self._cgroups.parents)
            return None, replace(isolation, unenforced=isolation.unenforced + lost)

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

        A bwrap dies with its engine, unless that died before it could ask the kernel for it.
        """
        await self.probe()
        return await reap(self._root, self._end)

    async def _end(self, left: Abandoned) -> None:
        assert self._cgroups is not None
        await kill_all(lambda: naming(f"{left.folder}/"))  # bwrap itself: its sandbox dies with it
        if left.uid is not None:
            uid = left.uid
            await kill_all(lambda: of_uid(uid))
        await self._cgroups.existing(left.name).destroy()


def _with_ours(limits: SandboxLimits) -> SandboxLimits:
    """Room for processes that are not the sandbox's own."""
    return limits.model_copy(update={"pids": limits.pids + OWN_PROCESSES})
