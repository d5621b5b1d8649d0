"""One try of a call: permits are taken, money is set aside, the provider is asked, and everything is written down."""

from dataclasses import replace
from functools import cache
from time import monotonic

from opentelemetry.trace import Span, SpanKind

from synthbench.chassis import genai
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.telemetry import span
from synthbench.contracts.events import LlmCalled
from synthbench.contracts.records import Usage
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.budgets.ledger import Ledger, Reservation
from synthbench.llm_gateway.calls.context import ReceivedAnswer, SentTry, TryOutcome, TryPlan
from synthbench.llm_gateway.calls.headers import answer_headers, cost_headers, sampling_json
from synthbench.llm_gateway.calls.provider_exchange import ProviderExchange
from synthbench.llm_gateway.domain.prepared_request import PreparedRequest, prepare
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.domain.refusals import failure_of_refusal, unknown_price
from synthbench.llm_gateway.models import Models
from synthbench.llm_gateway.provider_metadata import ProviderMetadataStore
from synthbench.llm_gateway.rate_limits.domain.permits import FREE
from synthbench.llm_gateway.rate_limits.limiter import RateLimiter
from synthbench.llm_gateway.recordings.domain.recording import request_digest
from synthbench.llm_gateway.recordings.recorder import CallRecorder, RecordingSession
from synthbench.wire.failures import Failure, TryFailed
from synthbench.wire.providers import Provider
from synthbench.wire.refusal import Refusal
from synthbench.wire.sse import dumped
from synthbench.wire.tool_calls import CallIds
from synthbench.wire.usage import estimate_tokens
from synthbench.wire.wires import WIRES

_NOTICED_SECONDS = 0.001
"""Shorter waits are none."""


class _TryWithoutAnswer(Exception):
    """Carries the outcome of a try that gave no answer out of its recording session."""

    def __init__(self, outcome: TryOutcome) -> None:
        super().__init__(str(outcome.failure))
        self.outcome = outcome


class TryRunner:
    """Makes the tries of calls.

    Args:
        ledger: sets money aside and counts it.
        models: finds the provider of a model.
        prices: of models.
        recorder: answers from recordings, and records.
        limiter: lets a try in as rate limits allow.
        metadata: fields that a provider wants back with its tool calls.
        idle_seconds: that a stream may be silent.
        max_event: bytes of one event of a stream.
    """

    def __init__(
        self,
        ledger: Ledger,
        models: Models,
        prices: Prices,
        recorder: CallRecorder,
        limiter: RateLimiter,
        metadata: ProviderMetadataStore,
        *,
        idle_seconds: float,
        max_event: int,
    ) -> None:
        self._ledger = ledger
        self._models = models
        self._prices = prices
        self._recorder = recorder
        self._limiter = limiter
        self._metadata = metadata
        self._idle = idle_seconds
        self._max_event = max_event

    async def run(self, plan: TryPlan) -> TryOutcome:
        """Ask one model; where the outcome has no failure, the caller has its answer."""
        call = plan.call
        try:
            provider, name = self._models.find(plan.model)
            prepared = await self._prepared(plan, provider, name)
            session = self._recorder.session(
                call.claims, call.exchange.headers, plan.model, provider, prepared, call.deadline
            )
            async with session:
                if plan.estimate is None and not session.recorded and not call.claims.allow_unknown_price:
                    raise unknown_price(plan.model)
                return await self._limited(plan, provider, name, prepared, session)
        except _TryWithoutAnswer as ended:
            return ended.outcome
        except TryFailed as error:
            return TryOutcome(error.failure, plan.waited, made=False)
        except Refusal as refusal:
            return TryOutcome(failure_of_refusal(refusal), plan.waited, made=False)

    async def _prepared(self, plan: TryPlan, provider: Provider, name: str) -> PreparedRequest:
        """Write the provider's request, with the metadata that the provider wants back and the caller left out."""
        call, wire = plan.call, WIRES[provider.wire]
        prepared = prepare(call.request, wire.name, name, self._models.known(plan.model), call.claims.sampling)
        if provider.free:
            return prepared
        calls = wire.call_ids(prepared.request)
        own, others = await self._metadata.of_calls(call.claims, plan.model.removeprefix(REPLAY_PREFIX), calls)
        request = wire.restore_metadata(prepared.request, own, others)
        return prepared if request is prepared.request else replace(prepared, request=request, body=dumped(request))

    async def _limited(
        self, plan: TryPlan, provider: Provider, name: str, prepared: PreparedRequest, session: RecordingSession
    ) -> TryOutcome:
        """Make the try within the rate limits of its model and provider, which a recording does not count on.

        Raises:
            _Ended: it gave no answer.
        """
        began, permits = monotonic(), FREE
        limits = () if session.recorded else self._models.limits(plan.model, provider)
        try:
            if limits:
                permits = await self._limiter.enter(limits, plan.tokens, plan.patience)
        except Refusal as refusal:
            outcome = TryOutcome(failure_of_refusal(refusal), _waited(plan, began), made=True)
            raise _TryWithoutAnswer(outcome) from refusal
        wire = WIRES[provider.wire]
        sent = SentTry(plan, session.provider, wire, name, prepared, session, _waited(plan, began))
        used: int | None = None
        try:
            failure, used = await self._admitted(sent)
        except Refusal as refusal:
            failure = failure_of_refusal(refusal)
        finally:
            self._limiter.leave(permits, used)
        outcome = TryOutcome(failure, sent.waited, made=True)
        if failure is not None:
            raise _TryWithoutAnswer(outcome)
        return outcome

    async def _admitted(self, sent: SentTry) -> tuple[Failure | None, int | None]:
        """Make the try with money set aside for it.

        Returns:
            The failure; and the tokens that it used, None where nobody knows.

        Raises:
            Refusal: the ledger does not admit it.
        """
        plan, call = sent.plan, sent.plan.call
        estimate = 0 if sent.session.recorded else plan.estimate or 0
        reservation = await self._ledger.admit(call.claims, sent.call_id, estimate, last=plan.last)
        failpoint("gateway.admitted")
        attributes = {
            genai.OPERATION: genai.CHAT,
            genai.PROVIDER: sent.provider.name,
            genai.REQUEST_MODEL: plan.model,
            genai.CONVERSATION: str(call.claims.rollout_id),
            genai.STREAM: call.request.stream,
            genai.ROUTE: call.route,
            genai.ROUTE_REASON: plan.reason,
        }
        with span(f"chat {plan.model}", kind=SpanKind.CLIENT, attributes=attributes) as opened:
            return await self._asked(sent, reservation, opened)

    async def _asked(self, sent: SentTry, reservation: Reservation, opened: Span) -> tuple[Failure | None, int | None]:
        exchange = ProviderExchange(
            sent,
            self._call_ids(sent),
            model_seconds=self._models.known(sent.plan.model).timeout_seconds,
            idle_seconds=self._idle,
            max_event=self._max_event,
        )
        try:
            closing = await exchange.run()
        except TryFailed as error:
            failure = error.failure
            usage = self._usage(sent, exchange.received, known=not failure.unknown, answered=False)
            opened.set_attribute(genai.ERROR_TYPE, failure.refusal.code)
            await self._settle(
                sent, exchange.received, reservation, failure.refusal.code, failure.refusal.status, usage
            )
            return failure, None if failure.unknown else usage.input_tokens + usage.output_tokens
        except BaseException:  # a defect of ours, or our end: nobody knows its cost
            usage = self._usage(sent, exchange.received, known=False, answered=False)
            await self._settle(sent, exchange.received, reservation, "gateway_error", 500, usage)
            raise
        usage = await self._finish(sent, exchange.received, reservation, opened, closing)
        return None, usage.input_tokens + usage.output_tokens

    async def _finish(
        self, sent: SentTry, received: ReceivedAnswer, reservation: Reservation, opened: Span, closing: bytes
    ) -> Usage:
        """Write a whole answer down, then let its end go out to the caller."""
        plan, call = sent.plan, sent.plan.call
        await sent.session.save()
        if not sent.provider.free or sent.session.recorded:
            metadata = sent.wire.metadata_of(received.answer)
            await self._metadata.keep(call.claims, plan.model.removeprefix(REPLAY_PREFIX), metadata)
        usage = self._usage(sent, received, known=True, answered=True)
        opened.set_attribute(genai.RESPONSE_MODEL, received.model)
        opened.set_attribute(genai.INPUT_TOKENS, usage.input_tokens)
        opened.set_attribute(genai.OUTPUT_TOKENS, usage.output_tokens)
        opened.set_attribute(genai.CACHED_TOKENS, usage.cached_tokens)
        opened.set_attribute(genai.CACHE_WRITE_TOKENS, usage.cache_write_tokens)
        failpoint("gateway.answered")
        await self._settle(sent, received, reservation, "ok", 200, usage)
        failpoint("gateway.settled")
        if call.request.stream:
            cost = f": cost-microusd={usage.cost_microusd} cost-known={str(usage.cost_known).lower()}\n\n"
            await call.exchange.write(cost.encode() + closing)
            await call.exchange.end()
        else:
            await call.exchange.answer(200, closing, {**answer_headers(sent, received), **cost_headers(usage)})
        return usage

    def _call_ids(self, sent: SentTry) -> CallIds:
        """Give the answer's tool calls ids: a replayed answer gets the same ones as the recorded one had."""
        request, claims = sent.prepared.request, sent.plan.call.claims

        def seed() -> str:
            digest = request_digest(sent.wire.name, sent.plan.model.removeprefix(REPLAY_PREFIX), request)
            number = sent.session.number
            return f"{digest}/{self._metadata.answers(claims, digest) if number is None else number}"

        return CallIds(sent.wire.call_ids(request), cache(seed))

    def _usage(self, sent: SentTry, received: ReceivedAnswer, *, known: bool, answered: bool) -> Usage:
        """Return tokens and cost. Tokens that a provider did not count are estimated, and their cost is not known."""
        usage = received.usage
        if usage is None and (answered or received.characters):
            tokens = sent.plan.call.request.input_tokens, estimate_tokens(received.characters)
            usage = Usage(calls=1, input_tokens=tokens[0], output_tokens=tokens[1])
        if sent.provider.free:
            return usage or Usage(calls=1)
        if usage is None:
            return Usage(calls=1, cost_known=known)
        cost = self._prices.cost(sent.plan.model, usage)
        sure = known and cost is not None and received.usage is not None
        return usage.model_copy(update={"cost_microusd": cost or 0, "cost_known": sure})

    async def _settle(
        self,
        sent: SentTry,
        received: ReceivedAnswer,
        reservation: Reservation,
        outcome: str,
        status: int,
        usage: Usage,
    ) -> None:
        plan, call, claims = sent.plan, sent.plan.call, sent.plan.call.claims
        called = LlmCalled(
            **claims.attempt_scope.fields,
            call_id=sent.call_id,
            request_id=call.request_id,
            route=call.route,
            provider=sent.provider.name,
            model=received.model or sent.name,
            outcome=outcome,
            status=status,
            usage=usage,
            latency_seconds=monotonic() - sent.began,
            first_token_seconds=received.first_token,
            waited_seconds=sent.waited,
            started_at=sent.started_at,
            wire=call.wire.name,
            stream=call.request.stream,
            try_number=plan.number,
            choice=plan.reason,
            dropped=list(dict.fromkeys(received.dropped)),
            category=claims.category,
            sampling=sampling_json(sent.prepared),
            recorded=sent.session.recorded,
        )
        await self._ledger.settle(reservation, called)
        metrics.tried(called, plan.model)


def _waited(plan: TryPlan, began: float) -> float:
    """Return the seconds of our own waits before a try that began to wait for its rate limits at `began`."""
    queued = monotonic() - began > _NOTICED_SECONDS
    return monotonic() - plan.call.began if queued or plan.number > 1 else 0.0
