"""One try of a call: money set aside, the provider asked, its answer passed on, everything written down."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from time import monotonic

from opentelemetry.trace import Span, SpanKind

from synthbench.chassis import genai
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.telemetry import span
from synthbench.contracts.events import LlmCalled
from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_list, parse_object
from synthbench.contracts.records import Usage
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.calls.context import Call, Try
from synthbench.llm_gateway.calls.handler.headers import cost_headers, headers_of, sampling_json
from synthbench.llm_gateway.domain.money import Ledger, Reservation
from synthbench.llm_gateway.domain.prepared_request import PreparedRequest, answer_for, prepare, relay_for
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.domain.refusals import caller_gone, failure_of_refusal, unknown_price
from synthbench.llm_gateway.models import Models
from synthbench.llm_gateway.provider_metadata import ProviderMetadataStore
from synthbench.llm_gateway.rate_limits.domain.permits import FREE
from synthbench.llm_gateway.rate_limits.limiter import RateLimiter
from synthbench.llm_gateway.recordings.domain.recording import request_digest
from synthbench.llm_gateway.recordings.recorder import CallRecorder
from synthbench.wire.failures import TryFailed, broken_stream, failure_within, garbage, timed_out, unusable
from synthbench.wire.protocols import ProviderError
from synthbench.wire.provider_metadata import metadata_of, restore_metadata
from synthbench.wire.providers import Provider, ProviderRequest, ProviderResponse
from synthbench.wire.refusal import Refusal
from synthbench.wire.sse import Splitter, dumped
from synthbench.wire.tool_calls import CallIds, call_ids
from synthbench.wire.usage import estimate_tokens
from synthbench.wire.wires import WIRES

_NOTICED_SECONDS = 0.001
"""Shorter waits are none."""


class TryRunner:
    """Makes tries."""

    def __init__(
        self,
        ledger: Ledger,
        models: Models,
        prices: Prices,
        recorder: CallRecorder,
        limits: RateLimiter,
        returned: ProviderMetadataStore,
        *,
        idle_seconds: float,
        max_event: int,
    ) -> None:
        self._ledger = ledger
        self._models = models
        self._prices = prices
        self._recorder = recorder
        self._limits = limits
        self._returned = returned
        self._idle = idle_seconds
        self._max_event = max_event

    async def make(self, call: Call, model: str, why: str, estimate: int | None) -> None:
        """Ask one model; when this returns, the caller has its answer.

        Raises:
            TryFailed: no whole answer came.
            Refusal: no try was made.
        """
        provider, name = self._models.find(model)
        prepared = prepare(call.asked, provider.wire, name, self._models.known(model), call.claims.sampling)
        if not provider.free:
            prepared = await self._with_returned(call, model, provider.wire, prepared)
        async with self._recorder.tape(
            call.claims, call.caller.headers, model, provider, prepared, call.deadline
        ) as tape:
            if estimate is None and not tape.recorded and not call.claims.allow_unknown_price:
                raise unknown_price(model)
            call.tries += 1
            async with self._let_in(call, model, provider, recorded=tape.recorded):
                wire = WIRES[provider.wire]
                this = Try(call, call.tries, uuid7(), tape.provider, wire, name, model, why, prepared, tape)
                this.dropped += prepared.dropped
                await self._admitted(this, 0 if tape.recorded else estimate or 0)

    async def _with_returned(self, call: Call, model: str, wire: str, prepared: PreparedRequest) -> PreparedRequest:
        """Give the model back what it said beside its calls, where the caller left it out."""
        calls = call_ids(wire, as_list(prepared.request.get("messages")))
        own, others = await self._returned.of_calls(call.claims, model.removeprefix(REPLAY_PREFIX), calls)
        request = restore_metadata(wire, prepared.request, own, others)
        return prepared if request is prepared.request else replace(prepared, request=request, body=dumped(request))

    @asynccontextmanager
    async def _let_in(self, call: Call, model: str, provider: Provider, *, recorded: bool) -> AsyncGenerator[None]:
        """Wait for the limits of the model and its provider; a recording is nobody's load."""
        entered, began = FREE, monotonic()
        limits = () if recorded else self._models.limits(model, provider)
        call.used = None
        try:
            if limits:
                entered = await self._limits.enter(limits, call.tokens, call.patience)
        finally:
            queued = monotonic() - began > _NOTICED_SECONDS
            call.waited = monotonic() - call.began if queued or call.tries > 1 else 0.0
        try:
            yield
        finally:
            self._limits.leave(entered, call.used)

    async def _admitted(self, this: Try, estimate: int) -> None:
        call = this.call
        reservation = await self._ledger.admit(call.claims, this.call_id, estimate, last=call.last)
        failpoint("gateway.admitted")
        attributes = {
            genai.OPERATION: genai.CHAT,
            genai.PROVIDER: this.provider.name,
            genai.REQUEST_MODEL: this.model,
            genai.CONVERSATION: str(call.claims.rollout_id),
            genai.STREAM: call.asked.stream,
            genai.ROUTE: call.route,
            genai.ROUTE_REASON: this.why,
        }
        with span(f"chat {this.model}", kind=SpanKind.CLIENT, attributes=attributes) as opened:
            await self._made(this, reservation, opened)

    async def _made(self, this: Try, reservation: Reservation, opened: Span) -> None:
        try:
            closing = await self._ask(this)
        except TryFailed as error:
            failure = error.failure
            usage = self._usage(this, known=not failure.unknown, answered=False)
            this.call.used = None if failure.unknown else usage.input_tokens + usage.output_tokens
            opened.set_attribute(genai.ERROR_TYPE, failure.refusal.code)
            await self._settle(this, reservation, failure.refusal.code, failure.refusal.status, usage)
            raise
        except BaseException:  # a defect of ours, or our end: what it cost nobody knows
            usage = self._usage(this, known=False, answered=False)
            await self._settle(this, reservation, "gateway_error", 500, usage)
            raise
        await this.tape.keep()
        if not this.provider.free or this.tape.recorded:
            said = metadata_of(this.wire.name, this.answer)
            await self._returned.keep(this.call.claims, this.model.removeprefix(REPLAY_PREFIX), said)
        usage = self._usage(this, known=True, answered=True)
        this.call.used = usage.input_tokens + usage.output_tokens
        opened.set_attribute(genai.RESPONSE_MODEL, this.answered_by)
        opened.set_attribute(genai.INPUT_TOKENS, usage.input_tokens)
        opened.set_attribute(genai.OUTPUT_TOKENS, usage.output_tokens)
        opened.set_attribute(genai.CACHED_TOKENS, usage.cached_tokens)
        opened.set_attribute(genai.CACHE_WRITE_TOKENS, usage.cache_write_tokens)
        failpoint("gateway.answered")
        await self._settle(this, reservation, "ok", 200, usage)
        failpoint("gateway.settled")
        caller = this.call.caller
        if this.call.asked.stream:
            cost = f": cost-microusd={usage.cost_microusd} cost-known={str(usage.cost_known).lower()}\n\n"
            await caller.write(cost.encode() + closing)
            await caller.end()
        else:
            await caller.answer(200, closing, {**headers_of(this), **cost_headers(usage)})

    async def _ask(self, this: Try) -> bytes:
        """Send the request; return the whole answer, or, after all else of a stream is out, what closes it."""
        call = this.call
        left = call.deadline - monotonic()
        if left <= 0:
            raise TryFailed(timed_out("the deadline is over"))
        timeout = min(left, self._models.known(this.model).timeout_seconds or left)
        outgoing = ProviderRequest(
            model=this.name,
            request=this.prepared.request,
            body=this.prepared.body,
            stream=call.asked.stream,
            claims=call.claims,
            timeout=timeout,
            idle=self._idle,
            headers=_passed_on(this),
        )
        try:
            incoming = this.tape.hear(await this.provider.send(outgoing))
        except Refusal as refusal:
            raise TryFailed(failure_of_refusal(refusal)) from refusal
        try:
            if not call.asked.stream:
                return self._whole(this, incoming)
            pieces = incoming.pieces or self._as_stream(this, incoming)
            async with asyncio.timeout(timeout):
                return await self._stream(this, pieces)
        except TimeoutError as error:
            raise TryFailed(timed_out(f"the answer was not whole within {timeout:.0f} s")) from error
        finally:
            await incoming.aclose()

    def _whole(self, this: Try, incoming: ProviderResponse) -> bytes:
        answer = parse_object(incoming.body)
        if answer.get("error"):
            raise TryFailed(failure_within(answer, datetime.now(UTC)))
        if incoming.pieces is not None or not this.wire.is_answer(answer):
            raise TryFailed(garbage(this.wire.name, incoming.body))
        this.answered_by = str(answer.get("model") or this.name)
        this.counted = this.wire.usage(answer)
        this.characters = len(incoming.body)
        this.answer = this.wire.settled(answer, self._call_ids(this))
        whole = incoming.body if this.answer is answer else dumped(this.answer)
        body, dropped = answer_for(this.call.asked, this.wire.name, this.answer, whole)
        this.dropped += dropped
        return body

    def _call_ids(self, this: Try) -> CallIds:
        """Ids for the calls of the answer: a replayed one gets the same as the recorded one had."""

        def seed() -> str:
            request = this.prepared.request
            digest = request_digest(this.wire.name, this.model.removeprefix(REPLAY_PREFIX), request)
            number = this.tape.number
            return f"{digest}/{self._returned.answers(this.call.claims, digest) if number is None else number}"

        return CallIds(call_ids(this.wire.name, as_list(this.prepared.request.get("messages"))), cache(seed))

    async def _as_stream(self, this: Try, incoming: ProviderResponse) -> AsyncIterator[bytes]:
        """A provider that answers whole where a stream was asked for: a local one, or one that knows no streams."""
        answer = parse_object(incoming.body)
        if answer.get("error"):
            raise TryFailed(failure_within(answer, datetime.now(UTC)))
        if not this.wire.is_answer(answer):
            raise TryFailed(garbage(this.wire.name, incoming.body))
        yield b"".join(this.wire.stream_of(answer))

    async def _stream(self, this: Try, pieces: AsyncIterator[bytes]) -> bytes:
        caller = this.call.caller
        splitter, tracker = Splitter(self._max_event), this.wire.tracker(self._call_ids(this))
        relay = relay_for(this.call.asked, this.wire.name)
        try:
            async for piece in pieces:
                out = bytearray()
                for event in splitter.feed(piece):
                    seen = tracker.see(event)
                    out += relay.feed(seen.event, seen.data)
                    if tracker.complete:
                        break
                if this.first_token is None and tracker.characters:
                    this.first_token = monotonic() - this.began
                if out:
                    await self._out(this, tracker.model, bytes(out))
                if tracker.complete:
                    this.answer = tracker.answer
                    return relay.end()
                if caller.gone:
                    raise TryFailed(caller_gone())
            raise TryFailed(broken_stream("it ended without its end mark"))
        except ProviderError as error:
            raise TryFailed(failure_within(error.answer, datetime.now(UTC))) from error
        except (ValueError, RecursionError) as error:
            raise TryFailed(unusable(f"the provider's stream is none on the {this.wire.name} wire: {error}")) from error
        finally:
            this.answered_by = tracker.model or this.name
            this.counted, this.characters = tracker.usage, tracker.characters
            this.dropped += dict.fromkeys(relay.dropped)

    async def _out(self, this: Try, model: str, data: bytes) -> None:
        caller = this.call.caller
        if not caller.started:
            this.answered_by = model or this.name
            await caller.start(headers_of(this))
        await caller.write(data)

    def _usage(self, this: Try, *, known: bool, answered: bool) -> Usage:
        """Tokens and cost. What a provider did not count is estimated, and its cost is not known."""
        usage = this.counted
        if usage is None and (answered or this.characters):
            asked, said = this.call.asked.input_tokens, estimate_tokens(this.characters)
            usage = Usage(calls=1, input_tokens=asked, output_tokens=said)
        if this.provider.free:
            return usage or Usage(calls=1)
        if usage is None:
            return Usage(calls=1, cost_known=known)
        cost = self._prices.cost(this.model, usage)
        sure = known and cost is not None and this.counted is not None
        return usage.model_copy(update={"cost_microusd": cost or 0, "cost_known": sure})

    async def _settle(self, this: Try, reservation: Reservation, outcome: str, status: int, usage: Usage) -> None:
        call, claims, provider = this.call, this.call.claims, this.provider.name
        seconds = monotonic() - this.began
        called = LlmCalled(
            submission_id=claims.submission_id,
            campaign=claims.campaign,
            rollout_id=claims.rollout_id,
            attempt=claims.attempt,
            call_id=this.call_id,
            request_id=call.request_id,
            route=call.route,
            provider=provider,
            model=this.answered_by or this.name,
            outcome=outcome,
            status=status,
            usage=usage,
            latency_seconds=seconds,
            first_token_seconds=this.first_token,
            waited_seconds=call.waited,
            started_at=this.started_at,
            wire=call.wire.name,
            stream=call.asked.stream,
            try_number=this.number,
            choice=this.why,
            dropped=list(dict.fromkeys(this.dropped)),
            category=claims.category,
            sampling=sampling_json(this),
            recorded=this.tape.recorded,
        )
        await self._ledger.settle(reservation, called)
        metrics.tried(called, this.model)


def _passed_on(this: Try) -> dict[str, str]:
    if this.call.wire.name != this.provider.wire:
        return {}
    return this.call.passed_on
