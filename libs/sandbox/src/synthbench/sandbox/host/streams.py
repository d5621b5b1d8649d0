"""Reading pipes to their end, in bounded memory."""

import asyncio
import os
from collections.abc import Sequence

from synthbench.sandbox.domain.output import HeadTail


class OutputStream(asyncio.Protocol):
    """Takes one output; `over` is done when every writer is gone."""

    def __init__(self, limit: int) -> None:
        self.kept = HeadTail(limit)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep it or count it."""
        self.kept.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Every writer is gone, or it was closed."""
        if not self.over.done():
            self.over.set_result(None)

    def close(self) -> None:
        """Read no more."""
        if self._transport is not None:
            self._transport.close()


async def read_stream(descriptor: int, limit: int) -> OutputStream:
    """Begin to read a pipe; the descriptor belongs to the stream from now on."""
    stream = OutputStream(limit)
    await asyncio.get_running_loop().connect_read_pipe(lambda: stream, os.fdopen(descriptor, "rb", buffering=0))
    return stream


async def until_over(streams: Sequence[OutputStream], seconds: float) -> None:
    """Wait for the ends of streams whose writers were ended; then close them."""
    waiting = [stream.over for stream in streams]
    await asyncio.wait(waiting, timeout=seconds)
    for stream in streams:
        stream.close()
