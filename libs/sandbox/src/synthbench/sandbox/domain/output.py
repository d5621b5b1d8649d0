"""Keeps the head and the tail of a stream that may never end."""

from collections import deque


class HeadTail:
    """Keeps the first three quarters of `limit` bytes and the last quarter, and counts all.

    Args:
        limit: bytes kept; memory stays below it plus one chunk.
    """

    def __init__(self, limit: int) -> None:
        self._head_limit = limit * 3 // 4
        self._tail_limit = limit - self._head_limit
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self.total = 0

    def feed(self, chunk: bytes) -> None:
        """Add the next bytes of the stream."""
        self.total += len(chunk)
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if not chunk:
            return
        self._tail.append(chunk[-self._tail_limit :])
        self._tail_size += len(self._tail[-1])
        while self._tail_size - len(self._tail[0]) >= self._tail_limit:
            self._tail_size -= len(self._tail.popleft())
        if len(self._tail) > 1024:  # many tiny writes: one block instead of a queue of crumbs
            self._tail = deque([b"".join(self._tail)[-self._tail_limit :]])
            self._tail_size = len(self._tail[0])

    def kept(self) -> tuple[bytes, int | None]:
        """Return the bytes kept, and the index in them at which others are missing; None where none are."""
        tail = b"".join(self._tail)[-self._tail_limit :]
        data = bytes(self._head) + tail
        return data, (len(self._head) if len(data) < self.total else None)
