"""The few calls to a Docker engine that sandboxes need, typed; each blocks, and belongs into a thread."""

import contextlib
import os
import socket
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
class Host:
    """Of the engine.

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
    """What to start.

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
        network: name of a network, or "none".
        runtime: OCI runtime, None for the engine's default.
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


@dataclass(frozen=True)
class Found:
    """A container that is there, in whatever state."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


class DockerApi:
    """A connection; the engine is the one that the usual variables name (DOCKER_HOST, …).

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

    def host(self) -> Host:
        """Ask what it is."""
        with self._telling("the Docker engine does not tell what it is"):
            info = self._api.info()
        return Host(
            version=str(info["ServerVersion"]),
            cpus=int(info["NCPU"]),
            memory_mb=int(info["MemTotal"]) // (1024 * 1024),
            security=tuple(info.get("SecurityOptions") or ()),
            runtimes=tuple(info.get("Runtimes") or ()),
        )

    def has_image(self, image: str) -> bool:
        """Whether it is there without pulling it."""
        with self._telling(f"the image {image} cannot be looked at"):
            try:
                self._api.inspect_image(image)
            except self._missing:
                return False
        return True

    def start(self, plan: ContainerPlan) -> str:
        """Create a container and start it; return its id. Nothing stays of one that cannot be started.

        Raises:
            SandboxError: the engine refused.
        """
        with self._telling("a container could not be started"):
            made = self._api.create_container(
                plan.image,
                entrypoint=[plan.argv[0]],
                command=list(plan.argv[1:]),
                name=plan.name,
                user=plan.user,
                hostname="sandbox",
                environment=dict(plan.env),
                working_dir="/",
                labels=dict(plan.labels),
                network_disabled=plan.network == "none",
                host_config=self._host_config(plan),
            )
            container = str(made["Id"])
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
            read_only=True,
            cap_drop=["ALL"],
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

    def remove(self, container: str) -> None:
        """Kill it and take it away; one that is gone, or going, is fine."""
        with self._telling("a container could not be removed"), contextlib.suppress(self._not_found):
            try:
                self._api.remove_container(container, force=True, v=True)
            except self._errors as error:
                if getattr(getattr(error, "response", None), "status_code", 0) != 409:  # its removal is under way
                    raise

    def containers(self, label: str, value: str) -> Sequence[Found]:
        """Find those with a label, running or not."""
        with self._telling("containers cannot be listed"):
            found = self._api.containers(all=True, filters={"label": f"{label}={value}"})
        return [Found(str(one["Names"][0]).removeprefix("/"), dict(one.get("Labels") or {})) for one in found]

    @contextlib.contextmanager
    def _telling(self, what: str) -> Any:
        try:
            yield
        except self._errors as error:
            raise SandboxError(f"{what} ({_one_line(error)})") from error

    def close(self) -> None:
        """Close its connections."""
        self._api.close()


def _knock() -> None:
    """See whether somebody listens on the engine's socket: docker-py leaks its own where nobody does."""
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
