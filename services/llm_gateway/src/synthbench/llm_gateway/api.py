"""The OpenAI wire: `POST /v1/chat/completions`, `GET /v1/models`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from prometheus_client import Counter, Histogram
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from structlog.stdlib import BoundLogger

from synthbench.chassis import genai
from synthbench.chassis.errors import Transient
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.telemetry import span
from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.events import LlmCalled
from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_count, as_list, as_object, parse_object
from synthbench.contracts.records import Usage
from synthbench.llm_gateway.domain.money import Ledger, Reservation
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.domain.refusal import Refusal
from synthbench.llm_gateway.domain.usage import estimate_tokens, read_usage
from synthbench.llm_gateway.keys import read_key
from synthbench.llm_gateway.providers import UPSTREAM, Provider, ProviderAnswer

CALLS = Counter("synthbench_llm_calls_total", "Model calls by provider and outcome", ["provider", "outcome"])
TOKENS = Counter("synthbench_llm_tokens_total", "Tokens by provider and direction", ["provider", "direction"])
COST = Counter("synthbench_llm_cost_microusd_total", "Cost in millionths of a US dollar", ["provider"])
SECONDS = Histogram("synthbench_llm_call_seconds", "Latency of model calls", ["provider"])

_DEFAULT_ANSWER_TOKENS = 4096


@dataclass(frozen=True)
class Call:
    """One call on its way."""

    claims: AttemptClaims
    call_id: UUID
    provider: Provider
    request: dict[str, Any]
    text: str
    started_at: datetime


class Gateway:
    """Admits, asks, settles."""

    def __init__(
        self,
        secret: SecretStr,
        ledger: Ledger,
        prices: Prices,
        providers: dict[str, Provider],
        log: BoundLogger,
        *,
        max_body: int,
    ) -> None:
        self._secret = secret
        self._ledger = ledger
        self._prices = prices
        self._providers = providers
        self._log = log
        self._max_body = max_body

    def app(self) -> Starlette:
        """The HTTP side; the chassis serves it."""
        return Starlette(
            routes=[
                Route("/v1/chat/completions", self._completions, methods=["POST"]),
                Route("/v1/models", self._models, methods=["GET"]),
            ]
        )

    async def _models(self, request: Request) -> Response:
        try:
            read_key(request.headers.get("authorization", ""), self._secret)
        except Refusal as refusal:
            return JSONResponse(refusal.body(), refusal.status)
        names = [name for provider in self._providers.values() for name in provider.models()]
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    async def _completions(self, request: Request) -> Response:
        trace = {name: request.headers[name] for name in ("traceparent", "tracestate") if name in request.headers}
        try:
            with span("POST /v1/chat/completions", parent=trace or None):
                claims = read_key(request.headers.get("authorization", ""), self._secret)
                return await self._call(claims, await self._body(request))
        except Refusal as refusal:
            self._log.info("call refused", code=refusal.code, status=refusal.status, reason=str(refusal))
            return JSONResponse(refusal.body(), refusal.status)
        except Transient as error:
            refusal = Refusal(503, "unavailable", str(error))
            return JSONResponse(refusal.body(), refusal.status, headers={"retry-after": "1"})

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body:
                raise Refusal(413, "request_too_large", f"the request is larger than {self._max_body} bytes")
        return bytes(body)

    async def _call(self, claims: AttemptClaims, body: bytes) -> Response:
        request = parse_object(body)
        _check(request, claims)
        route = str(request["model"])
        provider = self._provider(route)
        call = Call(claims, uuid7(), provider, request, body.decode("utf-8", errors="replace"), datetime.now(UTC))
        reservation = await self._ledger.admit(claims, call.call_id, self._estimate(call))
        failpoint("gateway.admitted")
        attributes = {genai.OPERATION: genai.CHAT, genai.PROVIDER: provider.name, genai.REQUEST_MODEL: route}
        began = monotonic()
        with span(f"chat {route}", attributes=attributes) as opened:
            try:
                answer = await provider.complete(request, claims)
                usage = self._usage(call, answer)
            except Refusal as refusal:
                # A try that failed is written down as well; its reservation goes back.
                await self._settle(
                    call, reservation, route, refusal.code, refusal.status, Usage(calls=1), monotonic() - began
                )
                raise
            opened.set_attribute(genai.RESPONSE_MODEL, answer.model)
            opened.set_attribute(genai.INPUT_TOKENS, usage.input_tokens)
            opened.set_attribute(genai.OUTPUT_TOKENS, usage.output_tokens)
        failpoint("gateway.answered")
        await self._settle(call, reservation, answer.model, "ok", 200, usage, monotonic() - began)
        failpoint("gateway.settled")
        return Response(answer.body, media_type="application/json", headers=_headers(call, answer, usage))

    def _provider(self, route: str) -> Provider:
        kind = route.split("/", maxsplit=1)[0]
        name = kind if kind in self._providers or kind in ("sim", "replay") else UPSTREAM
        if name not in self._providers:
            raise Refusal(
                404,
                "model_not_found",
                f"no provider for {route!r}: set SYNTHBENCH_UPSTREAM_BASE_URL (and SYNTHBENCH_UPSTREAM_API_KEY), "
                "or take one of sim/*",
            )
        return self._providers[name]

    def _estimate(self, call: Call) -> int:
        """What the call may cost at most, roughly.

        Raises:
            Refusal: the price is unknown, and the attempt may only spend what is known.
        """
        if call.provider.free:
            return 0
        wanted = as_count(call.request.get("max_completion_tokens")) or as_count(call.request.get("max_tokens"))
        expected = Usage(input_tokens=estimate_tokens(call.text), output_tokens=wanted or _DEFAULT_ANSWER_TOKENS)
        cost = self._prices.cost(str(call.request["model"]), expected)
        if cost is None and not call.claims.allow_unknown_price:
            raise Refusal(
                403,
                "unknown_price",
                f"the price of {call.request['model']!r} is unknown, so its cost could not be capped; name it in "
                "SYNTHBENCH_PRICES_FILE, or allow unknown prices for this submission",
            )
        return cost or 0

    def _usage(self, call: Call, answer: ProviderAnswer) -> Usage:
        """Tokens and cost of an answer.

        Raises:
            Refusal: what came back is no chat completion.
        """
        body = parse_object(answer.body)
        if "choices" not in body or not isinstance(body["choices"], list):
            start = answer.body[:80].decode("utf-8", errors="replace")
            raise Refusal(502, "upstream_garbage", f"the provider's answer is no chat completion: {start!r}")
        counted = read_usage(body)
        usage = counted or Usage(
            calls=1,
            input_tokens=estimate_tokens(call.text),
            output_tokens=estimate_tokens(answer.body.decode("utf-8", errors="replace")),
        )
        if call.provider.free:
            return usage
        cost = self._prices.cost(str(call.request["model"]), usage)
        known = cost is not None and counted is not None
        return usage.model_copy(update={"cost_microusd": cost or 0, "cost_known": known})

    async def _settle(
        self, call: Call, reservation: Reservation, model: str, outcome: str, status: int, usage: Usage, seconds: float
    ) -> None:
        claims = call.claims
        event = LlmCalled(
            submission_id=claims.submission_id,
            campaign=claims.campaign,
            rollout_id=claims.rollout_id,
            attempt=claims.attempt,
            call_id=call.call_id,
            route=str(call.request["model"]),
            provider=call.provider.name,
            model=model,
            outcome=outcome,
            status=status,
            usage=usage,
            latency_seconds=seconds,
            started_at=call.started_at,
            category=claims.category,
        )
        await self._ledger.settle(reservation, event)
        CALLS.labels(call.provider.name, outcome).inc()
        TOKENS.labels(call.provider.name, "input").inc(usage.input_tokens)
        TOKENS.labels(call.provider.name, "output").inc(usage.output_tokens)
        COST.labels(call.provider.name).inc(usage.cost_microusd)
        SECONDS.labels(call.provider.name).observe(seconds)


def _check(request: dict[str, Any], claims: AttemptClaims) -> None:
    """Refuse what is no request, and what the key does not allow."""
    messages = as_list(request.get("messages"))
    if not messages or not all(as_object(message).get("role") for message in messages):
        raise Refusal(
            400,
            "invalid_request",
            "the body is no chat completion request: messages must be a list of roles and contents",
        )
    if request.get("stream"):
        raise Refusal(400, "unsupported", "streaming is not supported; leave out `stream`")
    if request.get("model") in (None, "", "default"):
        request["model"] = claims.route
    if request["model"] != claims.route:
        raise Refusal(
            403, "model_not_allowed", f"this attempt's key is for {claims.route!r}, not for {request['model']!r}"
        )
    if not claims.route:
        raise Refusal(403, "model_not_allowed", "this attempt's scaffold uses no model")


def _headers(call: Call, answer: ProviderAnswer, usage: Usage) -> dict[str, str]:
    return {
        "x-synthbench-call-id": str(call.call_id),
        "x-synthbench-cost-microusd": str(usage.cost_microusd),
        "x-synthbench-cost-known": "true" if usage.cost_known else "false",
        "x-synthbench-provider": call.provider.name,
        "x-synthbench-model": answer.model,
    }
