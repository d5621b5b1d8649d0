"""One listening HTTP server inside a process whose signals are its own business."""

import asyncio
import contextlib
import socket
from email.utils import formatdate

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from synthbench.chassis.errors import SettingsError
from synthbench.chassis.http_limits import HttpLimits, LimitedProtocol, look_at_all
from synthbench.chassis.tasks import cancel_all
from synthbench.chassis.token_bucket import TokenBucket

_BACKLOG = 1024
"""Connections that wait to be accepted: hundreds of callers may come in one moment."""
_LOOK_SECONDS = 1.0
_NO_DESCRIPTOR_SECONDS = 1.0
"""Until the next try, where the process has no descriptor left for a connection."""
_ANSWER_SECONDS = 1.0
"""A request that is running at the end gets at least so many."""


class Listener:
    """Serves an app on a port until it is closed.

    Args:
        app: what to serve.
        setting: name of the setting that holds the port, for the error of a taken one.
        limits: what callers may take of this process.

    Attributes:
        limits: may be replaced; what a new one says of single connections holds for those that come afterwards.
    """

    def __init__(self, app: ASGIApp, *, setting: str = "http_port", limits: HttpLimits | None = None) -> None:
        self._setting = setting
        self.limits = limits or HttpLimits()
        self._config = uvicorn.Config(
            app, interface="asgi3", http="httptools", ws="none", lifespan="off", log_config=None,
            access_log=False, proxy_headers=False,
        )  # fmt: skip
        self._state = ServerState()
        rate = self.limits.bytes_a_second
        self._pace = TokenBucket(rate, self.limits.burst_bytes) if rate else None
        self._room = asyncio.Semaphore(self.limits.connections)
        self._ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._log = structlog.stdlib.get_logger(__name__)

    async def serve(self, host: str, port: int) -> int:
        """Begin to serve; return the port, which is a free one if `port` is 0.

        Raises:
            SettingsError: the port is taken, or the host is not ours.
        """
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
            # asyncio does this only where a socket names its protocol; without it an answer of two writes waits 40 ms
            # for the caller's acknowledgement of the first. Connections inherit it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise SettingsError(
                f"{self._setting}: cannot listen on {host}:{port}: {error.strerror or error}; "
                f"set SYNTHBENCH_{self._setting.upper()} to another one, or to 0 for a free one"
            ) from error
        self._begin(listener)
        return listener.getsockname()[1]

    def serve_on(self, listener: socket.socket) -> None:
        """Begin to serve on a socket that is bound already, and is closed with this."""
        listener.listen(_BACKLOG)
        self._begin(listener)

    def _begin(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._config.load()
        self._set_date()
        self._tasks = [asyncio.create_task(self._accept(listener)), asyncio.create_task(self._look())]

    async def _accept(self, listener: socket.socket) -> None:
        """Accept as many connections as there is room for.

        asyncio's own loop takes whatever comes, and with a full table of descriptors it logs, and schedules itself,
        once for each place in the queue.
        """
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                await self._room.acquire()
                try:
                    connection, _ = await loop.sock_accept(listener)
                except OSError as error:
                    self._room.release()
                    self._log.warning("no connection can be accepted", error=str(error))
                    await asyncio.sleep(_NO_DESCRIPTOR_SECONDS)
                    continue
                try:
                    await loop.connect_accepted_socket(self._protocol, connection)
                except OSError:
                    connection.close()
                    self._room.release()

    def _protocol(self) -> LimitedProtocol:
        return LimitedProtocol(
            config=self._config,
            server_state=self._state,
            app_state={},
            limits=self.limits,
            pace=self._pace,
            ended=self._connection_ended,
        )

    def _connection_ended(self) -> None:
        self._room.release()
        self._ended.set()

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._set_date()
            look_at_all(self._state.connections, _LOOK_SECONDS)

    def _set_date(self) -> None:
        """The headers that each answer has."""
        date = (b"date", formatdate(usegmt=True).encode())
        self._state.default_headers = [date, *self._config.encoded_headers]

    async def close(self, seconds: float = 5.0) -> None:
        """Take no more requests, and give the running ones up to `seconds`."""
        if not self._tasks:
            return
        await cancel_all(*self._tasks)
        self._tasks = []
        for connection in list(self._state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._answered(), max(_ANSWER_SECONDS, seconds))
        for task in self._state.tasks:
            task.cancel()
        for connection in list(self._state.connections):
            connection.transport.abort()  # what it still waits for has no end

    async def _answered(self) -> None:
        while self._state.connections:
            self._ended.clear()
            await self._ended.wait()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)
