"""The artifact store: bodies by content digest, and write-once keys (the journal)."""

from urllib.parse import unquote, urlsplit

from synthbench.storage.artifacts.files import FilesStore
from synthbench.storage.artifacts.protocol import ArtifactStore, StoredBody, key_uri, uri_of_digest

__all__ = ["ArtifactStore", "FilesStore", "StoredBody", "key_uri", "open_store", "uri_of_digest"]


def open_store(url: str) -> ArtifactStore:
    """Open the store that a deployment configures (`SYNTHBENCH_ARTIFACTS_URL`).

    Raises:
        ValueError: no store answers to this kind of URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path:
        return FilesStore(unquote(parts.path))
    if parts.scheme == "s3" and parts.netloc and not parts.query:
        from synthbench.storage.artifacts.s3 import S3Store  # noqa: PLC0415 - boto3 is large, and files need none

        prefix = unquote(parts.path).strip("/")
        return S3Store(parts.netloc, f"{prefix}/" if prefix else "")
    raise ValueError(f"artifacts URL {url!r} is not supported; use file:///absolute/folder or s3://bucket/prefix")
