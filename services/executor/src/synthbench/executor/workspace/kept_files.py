"""Files that a task wants kept from its sandbox: taken as tars before it is closed, and stored as artifacts."""

import io
import tarfile

from synthbench.contracts.records import KeptFile
from synthbench.executor.domain.endings import InfraFailure
from synthbench.sandbox.errors import SandboxClosed, SandboxError
from synthbench.sandbox.protocol import Sandbox
from synthbench.storage.artifacts import ArtifactStore
from synthbench.tasks import TaskPackage

EACH_BYTES = 64 * 1024 * 1024
ALL_BYTES = 256 * 1024 * 1024
CONVENTION = "/logs/artifacts"
"""Folder that is kept for every foreign package, where something is in it. Source: Harbor's artifacts."""


async def keep_files(sandbox: Sandbox, package: TaskPackage, store: ArtifactStore) -> list[KeptFile]:
    """Keep the files that the task names; one that is missing or too big is recorded with its problem.

    Raises:
        SandboxClosed: the sandbox is gone.
        InfraFailure: the store does not take it.
    """
    kept: list[KeptFile] = []
    room = ALL_BYTES
    for path in package.manifest.artifacts:
        data, problem = await _taken(sandbox, package, path, min(EACH_BYTES, room))
        kept.append(await _stored(store, path, data, problem))
        room -= len(data or b"")
    if package.profile == "harbor" and CONVENTION not in package.manifest.artifacts:
        data, problem = await _taken(sandbox, package, CONVENTION, min(EACH_BYTES, room))
        if problem or (data and _has_files(data)):
            kept.append(await _stored(store, CONVENTION, data, problem))
    return kept


def _has_files(archive: bytes) -> bool:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        return any(not member.isdir() for member in tar)


async def _taken(sandbox: Sandbox, package: TaskPackage, path: str, most: int) -> tuple[bytes | None, str]:
    try:
        if package.profile == "harbor":
            data = await sandbox.fetch(path, max_bytes=most)
        else:
            data = await sandbox.download(path)
    except SandboxClosed:
        raise
    except SandboxError as error:
        return None, error.cause
    if data is not None and len(data) > most:
        return None, f"{path} is larger than {most} bytes"
    return data, ""


async def _stored(store: ArtifactStore, path: str, data: bytes | None, problem: str) -> KeptFile:
    if data is None:
        return KeptFile(path=path, problem=problem or "it is not there")
    try:
        return KeptFile(path=path, artifact=await store.put(data, media_type="application/x-tar"))
    except OSError as error:
        raise InfraFailure(f"{path} could not be kept: {error}") from error
