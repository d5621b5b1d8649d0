"""The environment of a task: its image, its limits, and the files that the agent finds."""

import os
from typing import Any

from pydantic import ValidationError

from synthbench.chassis.telemetry import span
from synthbench.contracts.trajectory import REFUSED_HOSTS_MOST, SandboxInfo
from synthbench.executor.harbor import make_logs
from synthbench.sandbox.domain.reach import parse_allowed
from synthbench.sandbox.egress import check_network
from synthbench.sandbox.errors import SpecRefused
from synthbench.sandbox.image import Image, ImageSource
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec
from synthbench.tasks import TaskPackage

_WORKDIR = "/workspace"
"""The workdir of an image that names none."""


def limits_of(package: TaskPackage, max_memory_mb: int) -> SandboxLimits:
    """Sandbox limits that a task asks for, within what this executor allows and this machine has."""
    wanted = package.limits
    return SandboxLimits(
        memory_mb=min(wanted.memory_mb, max_memory_mb),
        cpus=min(wanted.cpus, float(os.cpu_count() or 1)),
        pids=wanted.pids,
        disk_mb=wanted.storage_mb,
    )


async def spec_of(
    engine: SandboxEngine, package: TaskPackage, owner: str, max_memory_mb: int, *, verified: bool = False
) -> SandboxSpec:
    """Describe the sandbox of a task's code; has its image made first, where there is one.

    Args:
        engine: makes it.
        package: the task.
        owner: of the sandbox.
        max_memory_mb: upper bound of what the task may ask for.
        verified: it is for verification, where strict tasks have no network.

    Raises:
        SpecRefused: this engine or this executor does not offer what the task asks for.
        ImageFailed: the image cannot be had.
    """
    limits = limits_of(package, max_memory_mb)
    network = {} if verified and package.profile == "strict" else await _network(engine, package)
    if not (package.builds_image or package.image_name):
        return SandboxSpec(owner=owner, limits=limits, **network)
    image = await _image(engine, package)
    if package.profile == "strict":
        return SandboxSpec(owner=owner, limits=limits, image=image.id, env=package.manifest.environment.env, **network)
    workdir = package.manifest.environment.workdir or image.workdir.rstrip("/") or _WORKDIR
    try:
        return SandboxSpec(
            owner=owner,
            limits=limits,
            image=image.id,
            root="writable",
            user="root",
            background=True,
            env=package.manifest.environment.env,
            workdir=workdir,
            **network,
        )
    except ValidationError as error:
        problems = "; ".join(str(one["msg"]) for one in error.errors(include_url=False))
        cause = f"task {package.id} cannot work in {workdir!r} ({problems})"
        raise SpecRefused(cause, "give another [environment] workdir") from error


async def _network(engine: SandboxEngine, package: TaskPackage) -> dict[str, Any]:
    """Return the fields of a spec for the network that a task wants; too much is refused before anything is made.

    Raises:
        SpecRefused: more than is allowed here, or a host that is none.
    """
    wanted = package.network
    if wanted.mode == "no-network":
        return {}
    check_network(wanted.mode, (await engine.probe()).network, f"task {package.id}")
    if wanted.mode == "public":
        return {"network": "public"}
    if not wanted.hosts:
        raise SpecRefused(f"task {package.id} wants an allowlist without a host", "give it allowed_hosts")
    try:
        return {"network": "allowlist", "allowed_hosts": tuple(str(parse_allowed(host)) for host in wanted.hosts)}
    except ValueError as error:
        raise SpecRefused(f"task {package.id}: {error}", "mend its allowed_hosts") from error


async def _image(engine: SandboxEngine, package: TaskPackage) -> Image:
    seconds = package.manifest.environment.build_timeout_sec
    context = package.environment_archive() if package.builds_image else b""
    with span("have_image", attributes={"synthbench.task": package.id}) as opened:
        image = await engine.image(ImageSource(name=package.image_name, context=context, seconds=seconds))
        opened.set_attribute("synthbench.sandbox.image", image.id)
    return image


def sandbox_info(sandbox: Sandbox) -> SandboxInfo:
    """Return the record of a sandbox as it is now."""
    isolation = sandbox.isolation
    return SandboxInfo(
        engine=isolation.engine,
        version=isolation.version,
        isolated=isolation.isolated,
        unenforced=list(isolation.unenforced),
        image_digest=sandbox.image,
        refused_hosts=list(sandbox.refused[:REFUSED_HOSTS_MOST]),
    )


async def fill_workspace(sandbox: Sandbox, package: TaskPackage) -> None:
    """Put the files into a sandbox with which the agent starts; a foreign package's files are in its image."""
    if package.profile == "harbor":
        await make_logs(sandbox)
    else:
        await sandbox.upload(package.workspace_archive())
