"""The description of a sandbox that an engine is asked to make."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from synthbench.sandbox.domain.paths import within
from synthbench.sandbox.domain.reach import parse_allowed
from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.inside import Mount, checked_workdir

_T = TypeVar("_T")
Network = Literal["none", "allowlist", "public"]
HOSTS_MOST = 100
_USE_DOCKER = "use the docker engine"


def _names(value: Mapping[str, _T]) -> Mapping[str, _T]:
    for name in value:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            raise ValueError(f"the name {name!r} is not lower-case letters, digits, '-' and '_'")
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > HOSTS_MOST:
        raise ValueError(f"at most {HOSTS_MOST} hosts can be allowed")
    return tuple(dict.fromkeys(str(parse_allowed(host)) for host in value))


def _variables(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in text:
            raise ValueError(f"{name!r} is not a usable environment variable")
    return value


class SandboxLimits(BaseModel):
    """The limits of one sandbox, for all its processes together unless said otherwise.

    What an engine cannot hold up is named in `Isolation.unenforced`.

    Attributes:
        memory_mb: MiB of memory.
        cpus: CPU seconds a second.
        pids: processes and threads at once.
        files: open file descriptors of each process.
        disk_mb: MiB on disk.
        output_bytes: bytes kept of each stream of each command; the rest is counted and dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_mb: int = Field(default=1024, ge=16)
    cpus: float = Field(default=1.0, gt=0)
    pids: int = Field(default=128, ge=4)
    files: int = Field(default=1024, ge=32)
    disk_mb: int = Field(default=1024, ge=1)
    output_bytes: int = Field(default=1_048_576, ge=1024)


class SandboxSpec(BaseModel):
    """The description of a sandbox that shall be made.

    Attributes:
        limits: see `SandboxLimits`.
        network: "none": a loopback of its own and nothing else. "allowlist": the same, and a proxy on it that leads
            to `allowed_hosts`; commands find it by the usual variables. "public": to every public address, at the ports
            80 and 443. SpecRefused where the engine or its operator does not offer it.
        allowed_hosts: "example.org", "*.example.org" for every name below it (ports 80 and 443), or with a ":port".
        sockets: name -> Unix socket on the host; the only way out. Inside it is `Sandbox.socket_path(name)`. It must
            exist when a command runs. Where the sandbox has a uid of its own (engines started by root), its maker gives
            it mode 0666; for the process engine the folders above it need the x bit for others, too.
        env: variables for every command, over the engine's own (PATH, HOME, LANG, TMPDIR, …).
        background: what a command leaves running when it ends (`server &`, a daemon) lives until `kill` or `close`, as
            with `docker exec`; what it still prints is dropped. A command that is ended (timeout, cancel, `kill`, disk)
            takes its process group with it. SpecRefused by engines that end everything with its command.
        workdir: where the workspace is seen inside; the process engine cannot offer it and uses a host path.
        image: what it runs from, as `SandboxEngine.image` returned it; None for what the engine always takes.
        root: "writable": everything inside may be changed, and goes with PID 1. The workspace then begins as the
            image's folder at `workdir`; what is changed elsewhere is in no diff.
        user: "root": commands run as root inside, with the few capabilities that installing and serving need.
        mounts: name -> a folder of the host that can be read inside.
        owner: who it belongs to, e.g. "<rollout>.<attempt>"; written beside the files, for whoever cleans up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str = Field(min_length=1, max_length=200)
    limits: SandboxLimits = SandboxLimits()
    network: Network = "none"
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] = ()
    sockets: Annotated[Mapping[str, Path], AfterValidator(_names)] = {}
    env: Annotated[Mapping[str, str], AfterValidator(_variables)] = {}
    background: bool = False
    workdir: str = "/workspace"
    image: str | None = None
    root: Literal["read-only", "writable"] = "read-only"
    user: Literal["agent", "root"] = "agent"
    mounts: Annotated[Mapping[str, Mount], AfterValidator(_names)] = {}

    @model_validator(mode="after")
    def _places(self) -> "SandboxSpec":
        checked_workdir(self.workdir, writable_root=self.root == "writable")
        if self.root == "writable" and self.user != "root":
            raise ValueError("a writable root is root's: ask for user root as well")
        if bool(self.allowed_hosts) != (self.network == "allowlist"):
            raise ValueError("allowed hosts go with the network allowlist, and it with them")
        for mount in self.mounts.values():
            if within(mount.target, self.workdir) is not None or within(self.workdir, mount.target) is not None:
                raise ValueError(f"the mount at {mount.target} and the workspace at {self.workdir} overlap")
        return self


def refuse_images(engine: str) -> NoReturn:
    """Refuse an image for an engine that runs from the host's own system.

    Raises:
        SpecRefused: always.
    """
    raise SpecRefused(f"image: the {engine} engine runs from this machine's own system", _USE_DOCKER)


def refuse_foreign_system(engine: str, spec: SandboxSpec) -> None:
    """Refuse a spec that asks for another system than the host's own, for root inside it, or for a network.

    Raises:
        SpecRefused: names the field.
    """
    if spec.network != "none":
        raise SpecRefused(f"network: the {engine} engine has no way out for a sandbox", _USE_DOCKER)
    if spec.image is not None:
        refuse_images(engine)
    if spec.root == "writable":
        raise SpecRefused(f"root: the {engine} engine shows this machine's own system, read-only", _USE_DOCKER)
    if spec.user == "root":
        raise SpecRefused(f"user: the {engine} engine has no root inside", _USE_DOCKER)
