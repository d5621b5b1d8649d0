"""The protocol of artifact stores, and the URIs and keys under which they keep bodies."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from synthbench.contracts.records import ArtifactRef
from synthbench.storage.errors import NoArtifactUri

_DIGEST_URI = re.compile(r"^artifact://sha256/([0-9a-f]{64})\Z")
_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9][A-Za-z0-9._-]{0,199})*\Z")

FRESH_SECONDS = 86_400.0
"""A body that is put again counts as new, if it was put longer ago than this."""


@dataclass(frozen=True)
class StoredBody:
    """Size and age of a stored body."""

    uri: str
    size: int
    modified: datetime
    """When it was last put, at most `FRESH_SECONDS` too early."""


class ArtifactStore(Protocol):
    """Stores bodies by their content, and small records under write-once keys.

    Every method may raise `ArtifactStoreUnavailable`.
    """

    async def put(self, data: bytes, *, media_type: str = "application/octet-stream") -> ArtifactRef:
        """Store a body under its digest; storing it twice is the same as once. Durable when it returns."""
        ...

    async def put_named(self, key: str, data: bytes) -> bool:
        """Store a record under a key that nobody has used; True if it was stored now, False if it was there already.

        Raises:
            ArtifactConflict: the key holds other content.
            ValueError: the key is not made of plain path segments.
        """
        ...

    async def get(self, uri: str) -> bytes:
        """Read a whole body; `uri` is `artifact://sha256/<hex>`, whose content is checked, or `artifact://key/<key>`.

        Raises:
            ArtifactNotFound: nothing is there.
            ArtifactCorrupt: the content does not match the digest.
        """
        ...

    async def read(self, uri: str, start: int, length: int) -> bytes:
        """Read part of a body, unchecked."""
        ...

    async def exists(self, uri: str) -> bool:
        """Whether something is stored there."""
        ...

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that start with `prefix`, which ends at a `/` or is empty, sorted."""
        ...

    def bodies(self) -> AsyncIterator["StoredBody"]:
        """Yield all bodies that are stored under digests, in no order; one that is written meanwhile may be missing."""
        ...

    async def body(self, uri: str) -> "StoredBody | None":
        """Return size and age of a body; None where nothing is stored."""
        ...

    async def presigned(self, uri: str, *, seconds: int = 3600) -> str:
        """Return a URL by which anybody may read one body for a while, at most 7 days.

        Raises:
            ValueError: no artifact URI, or no such time.
            NotSupported: this kind of store has no such links.
        """
        ...

    async def delete(self, uri: str) -> None:
        """Remove it; removing nothing is fine."""
        ...

    async def prepare(self) -> None:
        """Create the folder or bucket, if it is missing; part of setting a deployment up."""
        ...

    async def probe(self) -> None:
        """Write and remove something; for readiness."""
        ...


def uri_of_digest(digest: str) -> str:
    """Return the URI of content by its digest `sha256:<hex>`."""
    return "artifact://sha256/" + digest.removeprefix("sha256:")


def key_uri(key: str) -> str:
    """Return the URI of a key."""
    return f"artifact://key/{key}"


def digest_in(uri: str) -> str | None:
    """Return the digest that a content URI names, None for a key URI."""
    match = _DIGEST_URI.match(uri)
    return f"sha256:{match[1]}" if match else None


def object_path(uri: str) -> str:
    """Return the location-independent path of a URI inside a store.

    Raises:
        NoArtifactUri: the text is no artifact URI, or its key is not made of plain path segments.
    """
    if digest := digest_in(uri):
        hexadecimal = digest.removeprefix("sha256:")
        return f"sha256/{hexadecimal[:2]}/{hexadecimal}"
    key = uri.removeprefix("artifact://key/")
    if key == uri or not valid_key(key):
        raise NoArtifactUri(f"nothing is stored under {uri[:120]!r}: it is no artifact URI")
    return f"key/{key}"


def valid_key(key: str) -> bool:
    """Whether a key is made of plain path segments: letters, digits, `.`, `_`, `-`; none starts with a dot.

    A segment has at most 200 of them, and a key 512, so that file systems can hold it.
    """
    return len(key) <= 512 and bool(_KEY.match(key))
