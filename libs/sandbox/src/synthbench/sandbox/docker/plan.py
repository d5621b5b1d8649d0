"""Plans the container of a sandbox from its spec: mounts, user, capabilities and limits."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthbench.sandbox.channel.launcher import OWN_PROCESSES, SOCKETS
from synthbench.sandbox.docker.api import ContainerPlan, DockerHost
from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.host.folders import SandboxFolders
from synthbench.sandbox.host.uids import can_lease
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec

_AGENT = {
    "HOME": "/home/agent",
    "USER": "agent",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108 - inside
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",
}
_ROOT = {"HOME": "/root", "USER": "root", "TERM": "dumb"}
_ROOT_MAY = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID")
"""What package managers and services need, and nothing of the kernel, of devices or of the network."""


@dataclass(frozen=True)
class ContainerKind:
    """The properties by which two unused sandboxes are interchangeable."""

    image: str
    limits: SandboxLimits
    workdir: str
    writable: bool
    as_root: bool
    mounts: tuple[tuple[str, str], ...]


def kind_of(spec: SandboxSpec, default_image: str) -> ContainerKind:
    """Return the kind of a spec.

    Raises:
        SpecRefused: root inside, and we could not remove what it leaves.
    """
    if spec.user == "root" and not can_lease():
        raise SpecRefused("user root: files of root could not be removed", "run the executor as root")
    return ContainerKind(
        image=spec.image or default_image,
        limits=spec.limits,
        workdir=spec.workdir,
        writable=spec.root == "writable",
        as_root=spec.user == "root",
        mounts=tuple(sorted((str(mount.source), mount.target) for mount in spec.mounts.values())),
    )


def unenforced(kind: ContainerKind, host: DockerHost, layer: Path | None) -> tuple[str, ...]:
    """Return one line for each property of a kind that this engine does not enforce, with the reason."""
    found: list[str] = []
    if kind.limits.cpus > host.cpus:
        found.append(f"cpus: {kind.limits.cpus:g} wanted, the engine has {host.cpus}")
    if kind.limits.memory_mb > host.memory_mb:
        found.append(f"memory_mb: {kind.limits.memory_mb} wanted, the engine has {host.memory_mb}")
    if kind.writable and layer is None:
        found.append("disk_mb: what is written outside of the workspace is not watched on this engine")
    if kind.as_root:
        found.append("user: root inside is root's number outside, with few capabilities and in namespaces of its own")
    return tuple(found)


def plan_of(
    kind: ContainerKind,
    name: str,
    folders: SandboxFolders,
    uid: int | None,
    host: DockerHost,
    labels: Mapping[str, str],
    runtime: str | None,
) -> ContainerPlan:
    """Plan the container of a sandbox; makes its small files.

    Args:
        kind: what to run.
        name: of the sandbox.
        folders: its folders.
        uid: who runs in it, where that is not this process's own user.
        host: the engine's machine.
        labels: by which it is found again.
        runtime: OCI runtime.
    """
    binds = [(str(folders.top / "sockets"), SOCKETS, "ro"), *((source, target, "ro") for source, target in kind.mounts)]
    workspace = (str(folders.workspace), kind.workdir)
    if not kind.writable:
        binds += [(*workspace, "rw"), (str(folders.tmp), "/tmp", "rw"), (str(folders.tmp), "/var/tmp", "rw")]  # noqa: S108 - inside
    if not kind.as_root:
        binds += [(str(folders.home), "/home/agent", "rw"), *_etc(folders, uid)]
    user = os.geteuid() if uid is None else uid
    return ContainerPlan(
        name=f"synthbench-{name}",
        image=kind.image,
        argv=(),
        user=f"{user}:{os.getegid() if uid is None else uid}",
        env=_ROOT if kind.as_root else _AGENT,
        binds=binds,
        labels=labels,
        memory_mb=min(kind.limits.memory_mb, host.memory_mb),
        cpus=min(kind.limits.cpus, host.cpus),
        pids=kind.limits.pids + OWN_PROCESSES,
        runtime=runtime,
        capabilities=_ROOT_MAY if kind.as_root else (),
        writable=kind.writable,
        filled=workspace if kind.writable else None,
    )


def _etc(folders: SandboxFolders, uid: int | None) -> Sequence[tuple[str, str, str]]:
    """Files that give the sandbox's user a name."""
    user = os.geteuid() if uid is None else uid
    etc = folders.top / "etc"
    etc.mkdir(mode=0o755)
    texts = {
        "passwd": "root:x:0:0::/root:/bin/sh\n"
        f"agent:x:{user}:{user}::/home/agent:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
        "group": f"root:x:0:\nagent:x:{user}:\nnogroup:x:65534:\n",
    }
    for name, text in texts.items():
        (etc / name).write_text(text)
    return [(str(etc / name), f"/etc/{name}", "ro") for name in texts]
