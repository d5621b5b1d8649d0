"""An artifact store in a folder. Durable: file and folder are synced before a write returns."""

import asyncio
import errno
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

from typing_extensions import override

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import ArtifactRef
from synthbench.storage.artifacts.protocol import (
    FRESH_SECONDS,
    ArtifactStore,
    StoredBody,
    digest_in,
    key_uri,
    object_path,
    uri_of_digest,
    valid_key,
)
from synthbench.storage.errors import (
    ArtifactConflict,
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
    NotSupported,
)
from synthbench.storage.walk import files_below

P = ParamSpec("P")
R = TypeVar("R")

_ADVICE = {
    errno.ENOSPC: "the disk is full: make room",
    errno.EDQUOT: "the disk quota is used up: make room",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied: let this user write there",
    errno.EPERM: "permission denied: let this user write there",
}


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """Turn an OSError into one line that says what to do."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except FileNotFoundError:
            raise
        except OSError as error:
            cause = _ADVICE.get(error.errno or 0, error.strerror)
            raise ArtifactStoreUnavailable(f"artifact store {args[0]}: {cause}") from error

    return call


class FilesStore(ArtifactStore):
    """Bodies under `sha256/ab/<hex>`, keys under `key/…`."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def __str__(self) -> str:
        return str(self.root)

    def local_path(self, uri: str) -> Path:
        """Return the path of a body in this file system."""
        return self.root / object_path(uri)

    @override
    async def put(self, data: bytes, *, media_type: str = "application/octet-stream") -> ArtifactRef:
        digest = sha256_digest(data)
        uri = uri_of_digest(digest)
        path = self.local_path(uri)
        if not await asyncio.to_thread(self._write_once, path, data):
            await asyncio.to_thread(self._touch, path)
        return ArtifactRef(uri=uri, digest=digest, size=len(data), media_type=media_type)

    @override
    async def put_named(self, key: str, data: bytes) -> bool:
        if not valid_key(key):
            raise ValueError(f"{key[:120]!r} is no valid key: plain path segments, please")
        path = self.local_path(key_uri(key))
        if await asyncio.to_thread(self._write_once, path, data):
            return True
        if await asyncio.to_thread(self._read, path) != data:
            raise ArtifactConflict(f"{key} holds other content already")
        return False

    @override
    async def get(self, uri: str) -> bytes:
        data = await self._find(uri, self._read)
        expected = digest_in(uri)
        if expected and sha256_digest(data) != expected:
            raise ArtifactCorrupt(f"{uri}: the content hashes to {sha256_digest(data)}")
        return data

    @override
    async def read(self, uri: str, start: int, length: int) -> bytes:
        return await self._find(uri, lambda path: self._read(path, start, length))

    @override
    async def exists(self, uri: str) -> bool:
        try:
            path = self.local_path(uri)
        except ArtifactNotFound:
            return False
        return await asyncio.to_thread(path.is_file)

    @override
    async def list(self, prefix: str) -> AsyncIterator[str]:
        if prefix and not valid_key(prefix.removesuffix("/")):
            raise ValueError(f"{prefix[:120]!r} is no valid prefix")
        for key in await asyncio.to_thread(self._keys_below, prefix):
            yield key

    @override
    async def bodies(self) -> AsyncIterator[StoredBody]:
        folders = await asyncio.to_thread(lambda: sorted((self.root / "sha256").glob("[0-9a-f][0-9a-f]")))
        for folder in folders:
            for found in await asyncio.to_thread(self._bodies_in, folder):
                yield found

    @override
    async def body(self, uri: str) -> StoredBody | None:
        return await asyncio.to_thread(self._stat, self.local_path(uri))

    @override
    async def presigned(self, uri: str, *, seconds: int = 3600) -> str:
        object_path(uri)
        raise NotSupported(f"{self} is a folder, which has no links for others; an S3 store has")

    @override
    async def delete(self, uri: str) -> None:
        await asyncio.to_thread(self._remove, self.local_path(uri))

    @override
    async def prepare(self) -> None:
        await asyncio.to_thread(self._prepare)

    @override
    async def probe(self) -> None:
        path = self.root / f".probe-{secrets.token_hex(6)}"
        await asyncio.to_thread(self._write_once, path, b"ok")
        await asyncio.to_thread(path.unlink)

    async def _find(self, uri: str, read: Callable[[Path], bytes]) -> bytes:
        try:
            return await asyncio.to_thread(read, self.local_path(uri))
        except FileNotFoundError as error:
            raise ArtifactNotFound(f"nothing is stored under {uri}") from error

    @_translated
    def _read(self, path: Path, start: int = 0, length: int = -1) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(length)
        except (IsADirectoryError, NotADirectoryError) as error:  # others begin with the key, or it goes on below one
            if self.root.is_file():
                raise  # the store itself is away
            raise FileNotFoundError(path) from error

    @_translated
    def _write_once(self, path: Path, data: bytes) -> bool:
        """Write beside, sync, then link into place: a reader sees all of it or nothing. False if it was there."""
        if path.exists():
            return False
        self._make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(path.parent)
        return True

    @_translated
    def _touch(self, path: Path) -> None:
        """Make a body young again, which garbage collection must not take: somebody put it once more."""
        if time.time() - path.stat().st_mtime > FRESH_SECONDS:
            os.utime(path)

    @_translated
    def _bodies_in(self, folder: Path) -> Sequence[StoredBody]:
        looked = (self._stat(path) for path in folder.iterdir() if not path.name.startswith("."))
        return [found for found in looked if found is not None]

    def _stat(self, path: Path) -> StoredBody | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        digest = f"sha256:{path.name}"
        return StoredBody(uri_of_digest(digest), found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent) if folder != self.root else None
        folder.mkdir(parents=True, exist_ok=True)
        _sync_folder(folder.parent)

    @_translated
    def _keys_below(self, prefix: str) -> Sequence[str]:
        base = self.root / "key"
        found = (path.relative_to(base).as_posix() for path in files_below(base / prefix) if path.name[0] != ".")
        return sorted(found)

    @_translated
    def _prepare(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    @_translated
    def _remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
