"""The few calls to a Docker engine that sandboxes need, typed; each blocks, and belongs into a thread."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.sandbox.docker.seccomp import profile
from synthbench.sandbox.errors import EngineUnavailable, SandboxError

ENGINE_LABEL = "synth-bench.engine"
"""Folder of the engine's process below the root, whose lock tells whether that lives."""
ROOT_LABEL = "synth-bench.root"
"""Folder of all sandboxes."""
NAME_LABEL = "synth-bench.sandbox"
"""Which one."""
_SECONDS = 60
_POOL = 16


@dataclass(frozen=True)
class DockerHost:
    """The machine that the Docker engine runs on.

    Attributes:
        version: of the engine.
        cpus: how many there are.
        memory_mb: MiB of memory.
        security: its security options, e.g. "name=seccomp,profile=default".
        runtimes: names of OCI runtimes.
    """

    version: str
    cpus: int
    memory_mb: int
    security: tuple[str, ...]
    runtimes: tuple[str, ...]


@dataclass(frozen=True)
class ContainerPlan:
    """A container that shall be started.

    Attributes:
        name: of the container.
        image: local, by name or digest.
        argv: PID 1.
        user: "uid:gid".
        env: of PID 1, over the image's.
        binds: (path of the host, path inside, "rw" or "ro").
        labels: by which it is found again.
        memory_mb: without swap.
        cpus: CPU seconds a second.
        pids: processes and threads.
        network: "none", or "container:NAME" for the namespace of that container.
        runtime: OCI runtime, None for the engine's default.
        capabilities: names of those that its root keeps.
        writable: its root can be written.
        filled: (path of the host, path inside) of a folder that begins as the image's, where it is empty.
    """

    name: str
    image: str
    argv: Sequence[str]
    user: str
    env: Mapping[str, str]
    binds: Sequence[tuple[str, str, str]]
    labels: Mapping[str, str]
    memory_mb: int
    cpus: float
    pids: int
    network: str = "none"
    runtime: str | None = None
    capabilities: Sequence[str] = ()
    writable: bool = False
    filled: tuple[str, str] | None = None


@dataclass(frozen=True)
class FoundContainer:
    """A container that is there, in whatever state."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class DockerApi:
    """A connection to the engine that the usual variables name (DOCKER_HOST, …).

    Raises:
        EngineUnavailable: nobody answers there.
    """

    def __init__(self) -> None:
        import docker  # noqa: PLC0415 - 150 ms, and most processes never need it
        import docker.errors  # noqa: PLC0415 - as above

        self._errors = (docker.errors.DockerException, OSError)  # requests' own are OSErrors
        self._missing = docker.errors.ImageNotFound
        self._not_found = docker.errors.NotFound
        try:
            _knock()
            self._api: Any = docker.from_env(timeout=_SECONDS, max_pool_size=_POOL).api
            self._api.ping()
        except self._errors as error:
            raise EngineUnavailable(
                f"no Docker engine answers ({_one_line(error)})", "start one, or set DOCKER_HOST"
            ) from error

    def host(self) -> DockerHost:
        """Ask what it is."""
        with self._telling("the Docker engine does not tell what it is"):
            info = self._api.info()
        return DockerHost(
            version=str(info["ServerVersion"]),
            cpus=int(info["NCPU"]),
            memory_mb=int(info["MemTotal"]) // (1024 * 1024),
            security=tuple(info.get("SecurityOptions") or ()),
            runtimes=tuple(info.get("Runtimes") or ()),
        )

    def image_id(self, image: str) -> str | None:
        """Return the digest of an image without pulling it; None where the engine does not have it."""
        with self._telling(f"the image {image} cannot be looked at"):
            try:
                return str(self._api.inspect_image(image)["Id"])
            except self._missing:
                return None

    def start(self, plan: ContainerPlan) -> str:
        """Create a container and start it; return its id. Nothing stays of one that cannot be started.

        Raises:
            SandboxError: the engine refused.
        """
        with self._telling("a container could not be started"):
            created = self._api.create_container(
                plan.image,
                entrypoint=[plan.argv[0]],
                command=list(plan.argv[1:]),
                name=plan.name,
                user=plan.user,
                hostname="sandbox" if plan.network == "none" else None,
                environment=dict(plan.env),
                working_dir="/",
                labels=dict(plan.labels),
                network_disabled=plan.network == "none",  # halves a start: libnetwork's hook is not run at all
                host_config=self._host_config(plan),
            )
            container = str(created["Id"])
            try:
                self._api.start(container)
            except self._errors:
                self.remove(container)
                raise
        return container

    def _host_config(self, plan: ContainerPlan) -> Any:
        memory = plan.memory_mb * 1024 * 1024
        return self._api.create_host_config(
            binds=[f"{host}:{inside}:{mode}" for host, inside, mode in plan.binds],
            network_mode=plan.network,
            mounts=[_filled(*plan.filled, plan.labels)] if plan.filled else None,
            read_only=not plan.writable,
            cap_drop=["ALL"],
            cap_add=list(plan.capabilities),
            security_opt=["no-new-privileges:true", f"seccomp={profile()}"],
            mem_limit=memory,
            memswap_limit=memory,
            nano_cpus=round(plan.cpus * 1_000_000_000),
            pids_limit=plan.pids,
            auto_remove=True,
            log_config={"type": "none"},
            oom_score_adj=500,
            runtime=plan.runtime,
        )

    def layer(self, container: str) -> str | None:
        """Return the engine's folder with a container's changes to its root; None where that is not known."""
        with self._telling("a container cannot be looked at"):
            found: dict[str, Any] = self._api.inspect_container(container)
        driver: dict[str, Any] = found.get("GraphDriver") or {}
        data: dict[str, str] = driver.get("Data") or {}
        return data.get("UpperDir")

    def put(self, container: str, archive: bytes, to: str) -> None:
        """Unpack a tar in a folder that is there, as root."""
        with self._telling(f"files could not be put into {to}"):
            self._api.put_archive(container, to, archive)

    def fetch(self, container: str, path: str, max_bytes: int) -> bytes | None:
        """Return a file or folder of a container as a tar; None where there is none.

        Raises:
            SandboxError: it is larger, or the engine refused.
        """
        with self._telling(f"{path} could not be fetched"):
            try:
                chunks, _ = self._api.get_archive(container, path)
            except self._not_found:
                return None
            parts: list[bytes] = []
            with contextlib.closing(chunks):
                for chunk in chunks:
                    parts.append(chunk)
                    if sum(map(len, parts)) > max_bytes:
                        raise SandboxError(f"{path} is larger than {max_bytes} bytes")
        return b"".join(parts)

    def remove(self, container: str) -> None:
        """Kill it and take it away; one that is gone, or going, is fine."""
        with self._telling("a container could not be removed"), contextlib.suppress(self._not_found):
            try:
                self._api.remove_container(container, force=True, v=True)
            except self._errors as error:
                if getattr(getattr(error, "response", None), "status_code", 0) != 409:  # its removal is under way
                    raise

    def was_killed(self, container: str, since: float) -> bool:
        """Return whether the engine was told to end a container since a moment (seconds since the epoch)."""
        with self._telling("the engine's events cannot be read"):
            filters = {"type": "container", "container": container, "event": ["kill", "stop"]}
            events = self._api.events(since=int(since) - 1, until=int(time.time()) + 1, filters=filters, decode=True)
            with contextlib.closing(events):
                return any(True for _ in events)

    def containers(self, label: str, value: str) -> Sequence[FoundContainer]:
        """Find those with a label, running or not."""
        with self._telling("containers cannot be listed"):
            found = self._api.containers(all=True, filters={"label": f"{label}={value}"})
        return [FoundContainer(str(one["Names"][0]).removeprefix("/"), dict(one.get("Labels") or {})) for one in found]

    def remove_volumes(self, label: str, value: str) -> None:
        """Remove those with a label that no container has any more: the engine's own end may leave them."""
        with self._telling("volumes could not be removed"):
            filters = {"label": f"{label}={value}", "dangling": "true"}
            found: list[dict[str, str]] = self._api.volumes(filters=filters)["Volumes"] or []
            for one in found:
                with contextlib.suppress(self._not_found):
                    self._api.remove_volume(one["Name"])

    @contextlib.contextmanager
    def _telling(self, what: str) -> Any:
        try:
            yield
        except self._errors as error:
            raise SandboxError(f"{what} ({_one_line(error)})") from error

    def close(self) -> None:
        """Close its connections."""
        self._api.close()


def _filled(folder: str, inside: str, labels: Mapping[str, str]) -> Any:
    """An anonymous volume over a folder of the host: the engine copies the image's files, owners included."""
    from docker.types import DriverConfig, Mount  # noqa: PLC0415 - as above

    driver = DriverConfig("local", {"type": "none", "o": "bind", "device": folder})
    return Mount(target=inside, source=None, type="volume", driver_config=driver, labels=dict(labels))


def _knock() -> None:
    """Check that somebody listens on the engine's socket, because docker-py leaks its own where nobody does."""
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if host.startswith("unix://"):
        path = host.removeprefix("unix://")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_SECONDS)
            try:
                probe.connect(path)
            except OSError as error:
                raise OSError(f"{path}: {error.strerror or error}") from error


def _one_line(error: BaseException) -> str:
    explanation = getattr(error, "explanation", None)
    return " ".join(str(explanation or error).split())[:300]
