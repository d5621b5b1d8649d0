"""The old contents of text files, for the patch: kept beside the workspace, where nothing inside can see them."""

import threading
import zlib
from pathlib import Path

from synthbench.sandbox.domain.patch import is_binary

TEXT_CAP = 1024 * 1024  # bytes of a file up to which its text is kept
_STORE_CAP = 256 * 1024 * 1024  # bytes on disk of one sandbox's texts


class OldTexts:
    """An append-only file of compressed texts, found by digest. Safe to use from several threads.

    Args:
        path: the file; made when the first text comes.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._size = 0
        self._lock = threading.Lock()

    def keep(self, digest: str, data: bytes) -> None:
        """Keep a text; binaries, big files and what exceeds the store are not kept."""
        if digest in self._places or len(data) > TEXT_CAP or is_binary(data):
            return
        packed = zlib.compress(data, level=1)
        with self._lock:
            if digest in self._places or self._size + len(packed) > _STORE_CAP:
                return
            with self._path.open("ab") as store:
                store.write(packed)
            self._places[digest] = (self._size, len(packed))
            self._size += len(packed)

    def get(self, digest: str | None) -> bytes | None:
        """The text, or None where it was not kept."""
        place = self._places.get(digest) if digest else None
        if place is None:
            return None
        with self._path.open("rb") as store:
            store.seek(place[0])
            return zlib.decompress(store.read(place[1]))
