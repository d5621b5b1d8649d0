"""Access to the HTTP APIs: bearer tokens with roles, rate limits, and an account of what was done.

A token is `SYNTHBENCH_API_TOKEN` (an admin's), or one of `SYNTHBENCH_API_TOKENS`: lines `name:role:sha256`, the digest
of the token in hexadecimal, so that the list itself opens nothing. `synth-bench tokens new` makes both.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import SettingsError, one_line
from synthbench.chassis.token_bucket import TokenBucket

_SAFE = ("GET", "HEAD", "OPTIONS")
_SCOPE = "synthbench.caller"
_LINE = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._@-]{0,99}):([a-z]+):([0-9a-f]{64})$")
_UNKNOWN_A_SECOND = 10.0
_MOST_HOSTS = 10_000
_UNAUTHORIZED, _FORBIDDEN, _TOO_MANY, _FAILED = 401, 403, 429, 500


class Role(IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1
    """Read everything."""
    REVIEWER = 2
    """Label trajectories."""
    OPERATOR = 3
    """Change what runs and what is kept."""
    ADMIN = 4
    """Read the account of what was done, and make the catalogue again."""


@dataclass(frozen=True)
class ApiCaller:
    """The caller that a token names, and its role."""

    name: str
    role: Role


@dataclass(frozen=True)
class ApiCall:
    """One call of an HTTP API that changed something, or was refused."""

    caller: str
    role: str
    method: str
    path: str
    status: int


Account = Callable[[ApiCall], Awaitable[None]]
"""Keeps a call."""


def parse_tokens(listed: SecretStr | None, admin: SecretStr | None) -> dict[bytes, ApiCaller]:
    """The callers by the SHA-256 of their tokens.

    Raises:
        SettingsError: a line is none; it is named by its number, and not repeated.
    """
    found: dict[bytes, ApiCaller] = {}
    if admin is not None:
        found[hashlib.sha256(admin.get_secret_value().encode()).digest()] = ApiCaller("admin", Role.ADMIN)
    lines = re.split(r"[\n,]", listed.get_secret_value()) if listed else []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.match(text)
        if match is None or match[2].upper() not in Role.__members__:
            roles = ", ".join(role.name.lower() for role in Role)
            raise SettingsError(f"SYNTHBENCH_API_TOKENS, line {number}: write name:role:sha256, with a role of {roles}")
        found[bytes.fromhex(match[3])] = ApiCaller(match[1], Role[match[2].upper()])
    return found


def requires(role: Role) -> Callable[[Request], None]:
    """A dependency of a route: who calls it has this role at least. Where no token is set, everybody may."""

    def check(request: Request) -> None:
        caller: ApiCaller | None = request.scope.get(_SCOPE)
        if caller is not None and caller.role < role:
            raise HTTPException(_FORBIDDEN, _refusal(caller, role))

    return check


def _refusal(caller: ApiCaller, role: Role) -> str:
    return f"{caller.name} is a {caller.role.name.lower()}; this takes the role {role.name.lower()}"


class Access:
    """Guards the HTTP APIs of a process.

    Args:
        callers: from `parse_tokens`; none of them means that nothing is guarded.
        a_second: requests of one caller, in the long run; twice that at once.
        log: refusals and changes.
    """

    def __init__(self, callers: Mapping[bytes, ApiCaller], *, a_second: float, log: BoundLogger) -> None:
        self.callers = callers
        self.a_second = a_second
        self.log = log
        self.account: Account | None = None
        """Keeps changes, and what was refused for a role; the service sets it, if it has a place."""

    def guard(self, app: ASGIApp) -> ASGIApp:
        """The app behind a guard."""
        return Guard(app, self) if self.callers else app


class Guard:
    """Lets in who has a token: viewers may read, operators may change; a route may ask for more by `requires`.

    Args:
        app: what it guards.
        access: who may come in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._buckets: dict[str, TokenBucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        caller = self._caller(scope)
        host = (scope.get("client") or ("unknown", 0))[0]
        wait = self._bucket(caller, host).take()
        if wait > 0:
            headers = {"Retry-After": str(max(1, round(wait)))}
            await _refuse(_TOO_MANY, f"too many requests; again in {wait:.2f} s", headers)(scope, receive, send)
            return
        if caller is None:
            seen = {"host": host, "method": scope["method"], "path": scope["path"]}
            self._access.log.warning("api call without a valid token", **seen)
            detail = "send an API token: Authorization: Bearer $SYNTHBENCH_API_TOKEN"
            await _refuse(_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        safe = scope["method"] in _SAFE
        needed = Role.VIEWER if safe else Role.OPERATOR
        if caller.role < needed:
            await _refuse(_FORBIDDEN, _refusal(caller, needed), {})(scope, receive, send)
            await self._keep(caller, scope, _FORBIDDEN)
            return
        answered = False

        async def noting(message: Message) -> None:
            """Keep a call that changed something, before its caller is answered."""
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                if not safe or message["status"] == _FORBIDDEN:
                    await self._keep(caller, scope, message["status"])
            await send(message)

        try:
            await self._app({**scope, _SCOPE: caller}, receive, noting)
        finally:
            if not answered and not safe:
                await self._keep(caller, scope, _FAILED)

    def _caller(self, scope: Scope) -> ApiCaller | None:
        given: bytes = dict(scope.get("headers", ())).get(b"authorization", b"")
        kind, _, token = given.partition(b" ")
        if kind.lower() != b"bearer":
            return None
        digest = hashlib.sha256(token.strip()).digest()
        found = None
        for known, caller in self._access.callers.items():  # all of them: how long it takes tells nothing
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def _bucket(self, caller: ApiCaller | None, host: str) -> TokenBucket:
        name = f"caller {caller.name}" if caller else f"host {host}"
        if name not in self._buckets:
            if len(self._buckets) >= _MOST_HOSTS:
                self._buckets.clear()
            pace = self._access.a_second if caller else _UNKNOWN_A_SECOND
            self._buckets[name] = TokenBucket(pace, 2 * pace)
        return self._buckets[name]

    async def _keep(self, caller: ApiCaller, scope: MutableMapping[str, Any], status: int) -> None:
        call = ApiCall(caller.name, caller.role.name.lower(), scope["method"], scope["path"][:500], status)
        self._access.log.info("api call", caller=call.caller, method=call.method, path=call.path, status=status)
        if self._access.account is not None:
            try:
                await self._access.account(call)
            except Exception as error:  # noqa: BLE001 - what was done is done; the log has it
                self._access.log.error("api call not kept", error=one_line(error), caller=call.caller, path=call.path)  # noqa: TRY400 - one line


def _refuse(status: int, detail: str, headers: Mapping[str, str]) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers=dict(headers))
