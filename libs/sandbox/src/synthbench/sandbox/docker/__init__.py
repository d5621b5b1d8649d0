"""The Docker engine: one hardened container for each sandbox, its commands through one long-lived channel.

The workspace, /tmp and the home are folders of the host that the container sees, so that files are read, written and
compared without asking the engine. No network, no capability, no new privilege, a seccomp profile of our own, a root
that cannot be written, and a uid that nobody else has where we are root.
"""

import asyncio
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from synthbench.sandbox.channel.launcher import SOCKETS, ChannelLauncher
from synthbench.sandbox.docker.api import ENGINE_LABEL, NAME_LABEL, ROOT_LABEL, DockerApi, DockerHost
from synthbench.sandbox.docker.container import Container, ContainerFiles
from synthbench.sandbox.docker.container_egress import ContainerEgress
from synthbench.sandbox.docker.containers import Containers
from synthbench.sandbox.docker.images import USED_FOLDER, BuildPolicy, Images
from synthbench.sandbox.docker.plan import ContainerKind, kind_of, plan_of, unenforced
from synthbench.sandbox.docker.pool import WarmPool
from synthbench.sandbox.egress import ENVIRONMENT, Egress, check_network
from synthbench.sandbox.errors import EngineUnavailable, SandboxError
from synthbench.sandbox.host.disk import HOW_DISK_IS_LIMITED
from synthbench.sandbox.host.folders import SandboxFolders, make_folders_in_thread, make_root, remove
from synthbench.sandbox.host.local import LocalSandbox, OpenSandboxes, new_id
from synthbench.sandbox.host.metrics import creating
from synthbench.sandbox.host.reaping import Abandoned, EngineFolder, is_alive, open_engine_folder, reap
from synthbench.sandbox.host.shell import limit_lines
from synthbench.sandbox.host.sockets import socket_place
from synthbench.sandbox.host.uids import UidLease, can_lease, lease_uid
from synthbench.sandbox.image import Image, ImageSource
from synthbench.sandbox.protocol import Isolation
from synthbench.sandbox.spec import Network, SandboxSpec

BASE_IMAGE = "python:3.11-slim-bookworm"
_PROBE_SECONDS = 30.0
_WARM_MOST = 4
_WARM_OWNER = "warm"
_COLLECT_SECONDS = 600.0


@dataclass(frozen=True)
class _PreparedContainer:
    """A sandbox that has no owner yet."""

    name: str
    folders: SandboxFolders
    kind: ContainerKind
    lease: UidLease | None
    launcher: ChannelLauncher
    container: Container


class DockerEngine:
    """Makes sandboxes with Docker.

    Args:
        root: folder for their files; the engine must see it at the same path.
        warm: how many sandboxes are kept ready at most; 0 for none.
        image: what sandboxes run from, by name or digest; it has a POSIX sh, and what tasks need.
        runtime: an OCI runtime that the engine knows (runsc, kata, …); None for its default.
        builds: what builds of images may, and how long they are kept.
        network: the most that a spec may ask for.
        known_hosts: names that may stand for addresses that are not public, like "mirror.example=10.0.0.7".

    Raises:
        SandboxError: `known_hosts` is not like that.
    """

    name = "docker"

    def __init__(
        self,
        root: Path,
        *,
        warm: int = _WARM_MOST,
        image: str = BASE_IMAGE,
        runtime: str | None = None,
        builds: BuildPolicy | None = None,
        network: Network = "none",
        known_hosts: str = "",
    ) -> None:
        self._root = root
        self._image = image
        self._runtime = runtime
        self._images = Images(builds or BuildPolicy(), root / USED_FOLDER)
        self._network: Network = network
        try:
            self._egress = Egress(known_hosts)
        except ValueError as error:
            raise SandboxError(f"known hosts: {error}") from error
        self._collected = 0.0
        self._sandboxes = OpenSandboxes()
        self._folder: EngineFolder | None = None
        self._api: DockerApi | None = None
        self._host: DockerHost | None = None
        self._image_id: str | None = None
        self._containers: Containers | None = None
        self._isolation: Isolation | None = None
        self._probing = asyncio.Lock()
        self._pool = WarmPool(self._prepare, self._discard, _usable, most=warm)

    async def probe(self) -> Isolation:
        """Write a file in a container, and see whether that is noticed.

        Raises:
            EngineUnavailable: it does not work here; with the reason and the mend.
        """
        async with self._probing:
            if self._isolation is None:
                self._isolation = await self._try()
            return self._isolation

    async def _try(self) -> Isolation:
        try:
            await asyncio.to_thread(self._connect)
            isolation = await self._offered()
            spec = SandboxSpec(owner="probe")
            sandbox = self._wrap(await self._prepare(kind_of(spec, self._image)), spec, isolation)
            try:
                before = await sandbox.snapshot()
                result = await sandbox.run(["sh", "-c", ": >written"], timeout=_PROBE_SECONDS)
                seen, _ = await sandbox.step(before)
            finally:
                await sandbox.close()
        except EngineUnavailable:
            raise
        except (SandboxError, OSError) as error:
            mend = f"does the engine see {self._root}, at the same path?"
            raise EngineUnavailable(f"docker: {error}", mend) from error
        if result.exit_code != 0:
            raise EngineUnavailable(
                f"a container started, but could not write ({result.exit_code}): {result.stderr_text[:200]}"
            )
        return replace(isolation, noticed=bool(seen.changes))

    async def _offered(self) -> Isolation:
        assert self._api is not None
        assert self._host is not None
        if self._runtime and self._runtime not in self._host.runtimes:
            known = ", ".join(self._host.runtimes)
            raise EngineUnavailable(f"the Docker engine has no runtime {self._runtime!r}", f"take one of {known}")
        self._image_id = await asyncio.to_thread(self._api.image_id, self._image)
        if self._image_id is None:
            raise EngineUnavailable(f"the Docker engine has no image {self._image}", f"docker pull {self._image}")
        unenforced = [HOW_DISK_IS_LIMITED]
        if not any("seccomp" in option for option in self._host.security):
            unenforced.append("seccomp: the engine was built without it")
        return Isolation(
            self.name, self._host.version, isolated=True, unenforced=tuple(unenforced), network=self._network
        )

    def _connect(self) -> None:
        self._api = DockerApi()  # first: where no engine answers no folder shall say that one was used
        self._host = self._api.host()
        make_root(self._root)
        self._folder = open_engine_folder(self._root)
        self._containers = Containers(self._api, self._folder.path.name)

    async def image(self, source: ImageSource) -> Image:
        """Return an image that the engine has, or pull or build it."""
        await self.probe()
        return await self._images.get(source)

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        """Make a sandbox with an empty workspace.

        Raises:
            EngineUnavailable: Docker does not work here, or is ill.
            SpecRefused: it asks for more network than is allowed here.
            SandboxError: no room, no free uid, or the engine refused.
        """
        isolation = await self.probe()
        check_network(spec.network, isolation.network)
        with creating(self.name):
            prepared = await self._pool.take(kind_of(spec, self._image))
            if spec.network != "none":
                spec = await self._let_out(prepared, spec)
            return self._wrap(prepared, spec, isolation)

    async def _let_out(self, prepared: _PreparedContainer, spec: SandboxSpec) -> SandboxSpec:
        """Open the way to the proxy; return the spec with the variables that name it."""
        assert self._containers is not None
        assert self._folder is not None
        hosts = spec.allowed_hosts if spec.network == "allowlist" else None
        labels = {ENGINE_LABEL: self._folder.path.name, ROOT_LABEL: str(self._root)}
        gate = ContainerEgress(self._containers, self._egress, self._image, self._folder.path, labels, hosts)
        try:
            await prepared.container.open_gate(gate)
        except BaseException:
            await asyncio.shield(self._discard(prepared))
            raise
        return spec.model_copy(update={"env": {**ENVIRONMENT, **spec.env}})

    def _wrap(self, prepared: _PreparedContainer, spec: SandboxSpec, isolation: Isolation) -> LocalSandbox:
        assert self._host is not None
        (prepared.folders.top / "owner").write_text(spec.owner)
        prepared.launcher.sockets = spec.sockets
        prepared.launcher.background = spec.background
        layer = prepared.container.layer
        lost = unenforced(prepared.kind, self._host, layer)
        sandbox = LocalSandbox(
            id=prepared.name,
            spec=spec,
            isolation=replace(isolation, unenforced=isolation.unenforced + lost) if lost else isolation,
            workdir=spec.workdir,
            folders=prepared.folders,
            launcher=prepared.launcher,
            lease=prepared.lease,
            sockets={name: f"{SOCKETS}/{name}.sock" for name in spec.sockets},
            closed=self._sandboxes.forget,
            image=spec.image or self._image_id,
            outside=ContainerFiles(prepared.launcher, prepared.container),
            written=[layer] if layer else [],
            refused=prepared.container.gate.refused if prepared.container.gate else (),
        )
        self._sandboxes.add(sandbox)
        return sandbox

    async def _prepare(self, kind: ContainerKind) -> _PreparedContainer:
        """Start a container over new folders."""
        assert self._folder is not None
        lease = lease_uid(self._root) if can_lease() and not kind.as_root else None
        uid = lease.uid if lease else None
        name = new_id()
        try:
            folders = await make_folders_in_thread(self._root, name, _WARM_OWNER, uid, self._folder.path.name)
            try:
                container, launcher = await self._started(kind, name, folders, uid)
            except BaseException:
                remove(folders.top)
                raise
        except BaseException:
            if lease:
                lease.release()
            raise
        return _PreparedContainer(name, folders, kind, lease, launcher, container)

    async def _started(
        self, kind: ContainerKind, name: str, folders: SandboxFolders, uid: int | None
    ) -> tuple[Container, ChannelLauncher]:
        assert self._folder is not None
        assert self._containers is not None
        assert self._host is not None
        labels = {ENGINE_LABEL: self._folder.path.name, ROOT_LABEL: str(self._root), NAME_LABEL: name}
        plan = plan_of(kind, name, folders, uid, self._host, labels, self._runtime)
        container = Container(self._containers, plan)
        lines = limit_lines(kind.limits, memory=False, pids=False)
        launcher = ChannelLauncher(container, folders, lines, kind.limits.output_bytes, uid)
        try:
            await launcher.start()
        except BaseException:
            await asyncio.shield(launcher.aclose())
            raise
        return container, launcher

    async def _discard(self, prepared: _PreparedContainer) -> None:
        await self._wrap(
            prepared, SandboxSpec(owner=_WARM_OWNER), Isolation(self.name, "", isolated=True, unenforced=())
        ).close()

    def socket_place(self) -> AbstractContextManager[Path]:
        """Return a path for a socket below the engine's folder; it goes with the context."""
        assert self._folder is not None
        return socket_place(self._folder.path)

    async def aclose(self) -> None:
        """Close every sandbox, and remove what the engine needed."""
        await self._images.aclose()
        await self._pool.aclose()
        await self._sandboxes.close()
        await self._egress.aclose()
        if self._containers is not None:
            await self._containers.aclose()
            self._containers = None
        if self._folder is not None:
            await asyncio.to_thread(self._folder.close)
            self._folder = None
        if self._api is not None:
            await asyncio.to_thread(self._api.close)
            self._api = None

    async def reap(self) -> list[str]:
        """Remove what killed processes of this engine left under the same root; return the owners of those sandboxes.

        A container ends with its engine's process, unless PID 1 was not listening yet.
        """
        await self.probe()
        owners = await reap(self._root, self._end)
        assert self._containers is not None
        api = self._containers.api
        for found in await asyncio.to_thread(api.containers, ROOT_LABEL, str(self._root)):
            if not is_alive(self._root / found.labels.get(ENGINE_LABEL, "")):
                await self._containers.kill(found.name)
        await asyncio.to_thread(api.remove_volumes, ROOT_LABEL, str(self._root))
        if time.monotonic() - self._collected > _COLLECT_SECONDS:
            self._collected = time.monotonic()
            await asyncio.to_thread(self._images.collect)
        return [owner for owner in owners if owner != _WARM_OWNER]

    async def _end(self, left: Abandoned) -> None:
        assert self._containers is not None
        api = self._containers.api
        for found in await asyncio.to_thread(api.containers, NAME_LABEL, left.name):
            await self._containers.kill(found.name)


def _usable(prepared: _PreparedContainer) -> bool:
    return prepared.launcher.alive
