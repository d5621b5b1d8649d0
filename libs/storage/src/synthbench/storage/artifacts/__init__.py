"""The artifact store: bodies by content digest, and write-once keys (the journal)."""

from urllib.parse import unquote, urlsplit

from synthbench.storage.artifacts.files import FilesStore
from synthbench.storage.artifacts.protocol import ArtifactStore, key_uri, uri_of_digest

__all__ = ["ArtifactStore", "FilesStore", "key_uri", "open_store", "uri_of_digest"]


def open_store(url: str) -> ArtifactStore:
    """Open the store that a deployment configures (`SYNTHBENCH_ARTIFACTS_URL`).

    Raises:
        ValueError: no store answers to this kind of URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path:
        return FilesStore(unquote(parts.path))
    raise ValueError(f"artifacts URL {url!r} is not supported; use file:///absolute/folder")
