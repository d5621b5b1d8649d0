"""The HTTP side of a process: `/livez`, `/readyz`, `/metrics`, and what the service mounts beside them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from synthbench.chassis.access import Access
from synthbench.chassis.errors import one_line
from synthbench.chassis.listener import Listener

Check = Callable[[], Awaitable[object]]

_CHECK_SECONDS = 2.0
_STALE_SECONDS = 15.0
_OWN_PATHS = ("/livez", "/readyz", "/metrics")


@dataclass
class FetchAge:
    """Measures how long the fetches of a consumer get no answer. A busy consumer does not fetch."""

    waiting_since: float | None = None

    def asking(self) -> None:
        """It asks; the clock runs from the first question that got no answer."""
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()

    def answered(self) -> None:
        """The server answered, with a message or with none."""
        self.waiting_since = None

    @property
    def seconds(self) -> float:
        """Age of the unanswered question; 0 if there is none."""
        return 0.0 if self.waiting_since is None else time.monotonic() - self.waiting_since


class Health:
    """Readiness checks and the one HTTP server of a process.

    Args:
        access: guards mounted apps, if it is given.
        stale_seconds: a consumer whose fetches get no answer for so long makes the process unready.
    """

    def __init__(self, access: Access | None = None, *, stale_seconds: float = _STALE_SECONDS) -> None:
        self.ready = False
        self.port = 0
        self.access = access
        self._stale_seconds = stale_seconds
        self._checks: dict[str, Check] = {}
        self._fetches: dict[str, FetchAge] = {}
        self._routes: list[BaseRoute] = [
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", _metrics),
        ]
        self._app = Starlette(routes=self._routes)
        self._app.router.default = self._unknown
        self._whole: ASGIApp | None = None
        self._listener = Listener(self._serve)

    def check(self, name: str, check: Check) -> None:
        """Make readiness depend on `check`: it raises when something is wrong."""
        self._checks[name] = check

    def watch_fetches(self, consumer: str) -> FetchAge:
        """Make readiness depend on this consumer's fetches; the consumer keeps the clock."""
        return self._fetches.setdefault(consumer, FetchAge())

    def mount(self, path: str, app: ASGIApp, *, guarded: bool = True) -> None:
        """Serve `app` below `path`. `guarded` apps ask for an API token where there is any."""
        routes = self._app.router.routes
        app = self.access.guard(app) if guarded and self.access else app
        routes.append(Mount(path.rstrip("/"), app=app))
        routes.sort(key=lambda route: -len(route.path) if isinstance(route, Mount) else -1000)
        mounts = [route for route in routes if isinstance(route, Mount)]
        self._whole = app if len(mounts) == 1 and not mounts[0].path else None

    def mount_lazily(self, path: str, make: Callable[[], ASGIApp]) -> None:
        """Serve an app that is made at its first request: importing a web framework costs more than a start."""
        self.mount(path, Lazy(make))

    async def problems(self) -> dict[str, str]:
        """Say what is wrong, by check; empty when the process is ready for work."""
        found = {} if self.ready else {"process": "not started yet, or draining"}
        for name, age in self._fetches.items():
            if age.seconds > self._stale_seconds:
                found[name] = f"no answer from the stream for {age.seconds:.0f} s"
        names = list(self._checks)
        tried = zip(names, await asyncio.gather(*map(self._try, names)), strict=True)
        return found | {name: problem for name, problem in tried if problem}

    async def _try(self, name: str) -> str:
        try:
            await asyncio.wait_for(self._checks[name](), _CHECK_SECONDS)
        except TimeoutError:
            return f"no answer within {_CHECK_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - whatever a check raises is the finding
            return one_line(error)
        return ""

    def limit_http(self, **changes: Any) -> None:
        """Change fields of the listener's `HttpLimits`, for connections from now on."""
        self._listener.limits = replace(self._listener.limits, **changes)

    async def serve(self, host: str, port: int) -> int:
        """Begin to serve; return the port, which is a free one if `port` is 0.

        Raises:
            SettingsError: the port is taken, or the host is not ours.
        """
        self.port = await self._listener.serve(host, port)
        return self.port

    async def close(self, seconds: float) -> None:
        """Take no more requests, and give the running ones up to `seconds`."""
        await self._listener.close(seconds)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. An app that has everything below the root is asked without the layers of a router before it."""
        whole = self._whole if scope["type"] == "http" and scope["path"] not in _OWN_PATHS else None
        await (whole or self._app)(scope, receive, send)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing is mounted here: for good, or not yet, which a caller must be able to tell."""
        status, detail = (404, "Not Found") if self.ready else (503, "starting or stopping")
        headers = {} if self.ready else {"Retry-After": "1"}
        answer = JSONResponse({"detail": detail}, status_code=status, headers=headers)
        await answer(scope, receive, send)

    async def _livez(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _readyz(self, _request: Request) -> Response:
        problems = await self.problems()
        return JSONResponse({"ready": not problems, "problems": problems}, status_code=503 if problems else 200)


class Lazy:
    """Makes the app when somebody asks for it."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; the first one makes the app."""
        if self._app is None:
            self._app = self._make()
        await self._app(scope, receive, send)


async def _metrics(_request: Request) -> Response:
    # Rarely asked for at start, and the exposition code is not needed before.
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest  # noqa: PLC0415 - when somebody scrapes

    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
