"""Reading pipes to their end, in bounded memory."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Sequence

from synthbench.sandbox.domain.output import HeadTail

_CHUNK = 262_144
_LEAST = 8  # bytes kept of what nobody asks for
_PIPE = 1 << 20  # bytes a busy pipe may hold: fewer wake-ups for whoever writes much


class OutputStream:
    """Takes one output as it comes; `over` is done when every writer is gone.

    Args:
        descriptor: of a pipe that does not block; it belongs to the stream from now on.
        limit: bytes kept.
    """

    def __init__(self, descriptor: int, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._descriptor = descriptor
        self._wide = False
        self.begin(limit)
        self._loop.add_reader(descriptor, self._read)

    def begin(self, limit: int) -> None:
        """Keep what comes from now on; 0 drops it: a writer that lives on shall not break on a closed pipe."""
        self.kept = HeadTail(max(limit, _LEAST))

    def _read(self) -> bool:
        """Take what is there; whether there may be more."""
        try:
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self.close()
            return False
        self.kept.feed(data)
        if len(data) >= 65536 and not self._wide:
            self._wide = True
            with contextlib.suppress(OSError):  # more than a user may have
                fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
        return True

    def drain(self) -> None:
        """Take all that was written until now, up to a pipe's content."""
        for _ in range(16):
            if self.over.done() or not self._read():
                return

    def close(self) -> None:
        """Read no more."""
        if not self.over.done():
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self.over.set_result(None)


async def until_over(streams: Sequence[OutputStream], seconds: float) -> None:
    """Wait for the ends of streams whose writers were ended; then close them."""
    for stream in streams:
        stream.drain()
    if waiting := [stream.over for stream in streams if not stream.over.done()]:
        await asyncio.wait(waiting, timeout=seconds)
    for stream in streams:
        stream.close()
