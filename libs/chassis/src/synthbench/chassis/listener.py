"""One listening HTTP server inside a process whose signals are its own business."""

import asyncio
import contextlib
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from synthbench.chassis.errors import SettingsError

_BACKLOG = 1024
"""Connections that wait to be accepted: hundreds of callers may come in one moment."""


class Listener:
    """Serves an app on a port until it is closed.

    Args:
        app: what to serve.
        setting: name of the setting that holds the port, for the error of a taken one.
    """

    def __init__(self, app: ASGIApp, *, setting: str = "http_port") -> None:
        self._app = app
        self._setting = setting
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

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
        config = uvicorn.Config(
            self._app, interface="asgi3", http="httptools", ws="none", lifespan="off", log_config=None,
            access_log=False, proxy_headers=False, timeout_graceful_shutdown=5,
        )  # fmt: skip
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")

    async def close(self, seconds: float = 5.0) -> None:
        """Take no more requests, and give the running ones up to `seconds`."""
        if self._server is None or self._serving is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(seconds))
        self._server.should_exit = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._serving, seconds + 2)


class _Server(uvicorn.Server):
    """Signals are the process's business, not uvicorn's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
