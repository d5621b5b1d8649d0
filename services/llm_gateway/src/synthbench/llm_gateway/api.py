"""The HTTP API: a path for each wire format, `GET /v1/models`, and probes by the scheduler."""

from collections.abc import Awaitable, Callable
from contextlib import suppress

import orjson
from pydantic import SecretStr
from starlette.types import Receive, Scope, Send
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import Transient
from synthbench.chassis.telemetry import span
from synthbench.contracts.attempt_key import PROBE_PATH, ProbeReply
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.calls.handler import CallHandler
from synthbench.llm_gateway.calls.http_exchange import HttpExchange
from synthbench.llm_gateway.keys import AttemptKeys
from synthbench.llm_gateway.models import Models
from synthbench.llm_gateway.probing import Prober
from synthbench.wire.protocols import WireFormat
from synthbench.wire.refusal import Refusal
from synthbench.wire.wires import PATHS, WIRES

_TRACE = ("traceparent", "tracestate")
_TOO_LARGE = (413, 431)


class Gateway:
    """The ASGI application of the gateway: it reads keys and requests, and finds the wire format of each path."""

    def __init__(
        self,
        secret: SecretStr,
        calls: CallHandler,
        models: Models,
        prober: Prober,
        log: BoundLogger,
        *,
        max_body: int,
        max_inflight: int,
    ) -> None:
        self._keys = AttemptKeys(secret)
        self._calls = calls
        self._models = models
        self._prober = prober
        self._log = log
        self._max_body = max_body
        self._max_inflight = max_inflight
        self._inflight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        exchange = HttpExchange(scope, receive, send)
        path, method = scope["path"], scope["method"]
        wire = PATHS.get(path)
        if wire is not None:
            work = self._call if method == "POST" else _not_post
        elif path == PROBE_PATH and method == "POST":
            wire, work = WIRES["openai"], self._probe
        elif path == "/v1/models" and method == "GET":
            wire, work = self._wire_of_list(exchange), self._list
        else:
            wire, work = WIRES["openai"], _nowhere
        await self._guarded(exchange, wire, work)

    async def _guarded(
        self, exchange: HttpExchange, wire: WireFormat, work: Callable[[HttpExchange, WireFormat], Awaitable[None]]
    ) -> None:
        try:
            await work(exchange, wire)
        except Refusal as refusal:
            self._log.info("call refused", code=refusal.code, status=refusal.status, reason=str(refusal))
            await exchange.refuse(wire, refusal)
        except Transient as error:
            await exchange.refuse(wire, Refusal(503, "unavailable", str(error), retry_after=1.0))
        except Exception as error:  # noqa: BLE001 - logged whole; the caller gets one line
            self._log.exception("call failed")
            with suppress(RuntimeError):  # the answer may be half out
                problem = f"the llm-gateway failed: {type(error).__name__}"
                await exchange.refuse(wire, Refusal(500, "gateway_error", problem))

    async def _call(self, exchange: HttpExchange, wire: WireFormat) -> None:
        if self._inflight >= self._max_inflight:
            metrics.SHED.inc()
            raise Refusal(
                429, "overloaded", f"{self._inflight} calls are on their way here; come again", retry_after=1.0
            )
        self._inflight += 1
        metrics.INFLIGHT.set(self._inflight)
        trace = {name: exchange.headers[name] for name in _TRACE if name in exchange.headers}
        try:
            with span(f"POST {wire.path}", parent=trace or None):
                claims = self._keys.read(exchange.key)
                request = wire.read(await exchange.body(self._max_body))
                await self._calls.answer(claims, request, wire, exchange)
        finally:
            self._inflight -= 1
            metrics.INFLIGHT.set(self._inflight)

    async def _probe(self, exchange: HttpExchange, wire: WireFormat) -> None:  # noqa: ARG002 - as the others
        problem = await self._prober.problem(self._keys.read_probe(exchange.key))
        await exchange.answer(200, ProbeReply(problem=problem).to_json(), {})

    async def _list(self, exchange: HttpExchange, wire: WireFormat) -> None:
        claims = self._keys.read(exchange.key)
        names = [name for name in dict.fromkeys([claims.route, *self._models.names()]) if name]
        await exchange.answer(200, orjson.dumps(wire.models_list(names)), {})

    def _wire_of_list(self, exchange: HttpExchange) -> WireFormat:
        return WIRES["anthropic" if "anthropic-version" in exchange.headers else "openai"]


def refusal_of_listener(status: int, path: str, text: str) -> object:
    """The body of an answer that the HTTP listener gives in the gateway's place, in the format of the path's wire.

    Args:
        status: HTTP status.
        path: of the request; empty where it is not known.
        text: the reason, one line.
    """
    wire = PATHS.get(path, WIRES["openai"])
    return wire.refusal(Refusal(status, "request_too_large" if status in _TOO_LARGE else "bad_request", text))


async def _not_post(exchange: HttpExchange, wire: WireFormat) -> None:  # noqa: ARG001 - as the others
    raise Refusal(405, "method_not_allowed", f"POST to {wire.path}")


async def _nowhere(exchange: HttpExchange, wire: WireFormat) -> None:  # noqa: ARG001 - as the others
    raise Refusal(404, "not_found", f"there are {', '.join(PATHS)} and /v1/models")
