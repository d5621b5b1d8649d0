"""An HTTP/1.1 connection over asyncio streams, by h11: every wait is bounded, every byte is counted."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import h11

CHUNK = 65536
_HEAD_BYTES = 65536
_LINGER_SECONDS = 5.0


class HttpConnection:
    """A connection with a peer, client or server.

    Args:
        role: ours: `h11.SERVER` towards the client.
        streams: of the connection.
        count: told of all bytes that are read and written.
        idle: seconds after which a peer that says or takes nothing has gone.
    """

    def __init__(
        self,
        role: Any,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        count: Callable[[int], None],
        idle: float,
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=_HEAD_BYTES)
        self.reader, self.writer = streams
        self._count = count
        self._idle = idle

    async def event(self, seconds: float | None = None) -> Any:
        """Return the next event of the peer, within so many seconds, or `idle`.

        Raises:
            h11.RemoteProtocolError: it does not speak HTTP.
            TimeoutError: it says nothing for so long.
            OSError: the connection broke.
        """
        async with asyncio.timeout(seconds or self._idle):
            while (event := self.http.next_event()) is h11.NEED_DATA:
                data = await self.reader.read(CHUNK)
                self._count(len(data))
                self.http.receive_data(data)
        return event

    async def say(self, event: Any) -> None:
        """Send an event, as soon as the peer takes it."""
        if data := cast("bytes | None", self.http.send(event)):
            await self.put(data)

    async def put(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._count(len(data))
        self.writer.write(data)
        async with asyncio.timeout(self._idle):
            await self.writer.drain()

    def close(self) -> None:
        """Send what is left, but not for long."""
        if not self.writer.is_closing():
            self.writer.close()
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.writer.transport.abort)
