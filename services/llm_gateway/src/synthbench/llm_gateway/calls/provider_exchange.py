"""One exchange with a provider: the request goes out, and a stream is passed on to the caller as it comes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from synthbench.contracts.loose import parse_object
from synthbench.llm_gateway.calls.context import ReceivedAnswer, SentTry
from synthbench.llm_gateway.calls.headers import answer_headers
from synthbench.llm_gateway.domain.refusals import caller_gone, failure_of_refusal
from synthbench.wire.failures import TryFailed, broken_stream, failure_within, garbage, timed_out, unusable
from synthbench.wire.protocols import ProviderError
from synthbench.wire.providers import ProviderRequest, ProviderResponse
from synthbench.wire.refusal import Refusal
from synthbench.wire.relays import answer_for, relay_for
from synthbench.wire.sse import Splitter, dumped
from synthbench.wire.tool_calls import CallIds


class ProviderExchange:
    """The exchange of one try.

    Args:
        sent: the try.
        ids: gives the answer's tool calls their ids.
        model_seconds: that one try of this model may take; None where only the call's deadline counts.
        idle_seconds: that a stream may be silent.
        max_event: bytes of one event of a stream.
    """

    def __init__(
        self, sent: SentTry, ids: CallIds, *, model_seconds: float | None, idle_seconds: float, max_event: int
    ) -> None:
        self._sent = sent
        self._ids = ids
        self._model_seconds = model_seconds
        self._idle = idle_seconds
        self._max_event = max_event
        self.received = ReceivedAnswer(dropped=sent.prepared.dropped)
        """The answer as far as it has come, also where the exchange failed."""

    async def run(self) -> bytes:
        """Send the request.

        Returns:
            The caller's whole answer; or, after all else of a stream was passed on, the bytes that close it.

        Raises:
            TryFailed: no whole answer came.
        """
        call = self._sent.plan.call
        left = call.deadline - monotonic()
        if left <= 0:
            raise TryFailed(timed_out("the deadline is over"))
        timeout = min(left, self._model_seconds or left)
        try:
            response = self._sent.session.observe(await self._sent.provider.send(self._request(timeout)))
        except Refusal as refusal:
            raise TryFailed(failure_of_refusal(refusal)) from refusal
        try:
            if not call.request.stream:
                return self._whole(response)
            pieces = response.pieces or self._as_stream(response)
            async with asyncio.timeout(timeout):
                return await self._pass_on(pieces)
        except TimeoutError as error:
            raise TryFailed(timed_out(f"the answer was not whole within {timeout:.0f} s")) from error
        finally:
            await response.aclose()

    def _request(self, timeout: float) -> ProviderRequest:
        sent, call = self._sent, self._sent.plan.call
        return ProviderRequest(
            model=sent.name,
            request=sent.prepared.request,
            body=sent.prepared.body,
            stream=call.request.stream,
            claims=call.claims,
            timeout=timeout,
            idle=self._idle,
            headers=call.headers if call.wire.name == sent.provider.wire else {},
        )

    def _whole(self, response: ProviderResponse) -> bytes:
        sent = self._sent
        answer = parse_object(response.body)
        if answer.get("error"):
            raise TryFailed(failure_within(answer, datetime.now(UTC)))
        if response.pieces is not None or not sent.wire.is_answer(answer):
            raise TryFailed(garbage(sent.wire.name, response.body))
        settled = sent.wire.settled(answer, self._ids)
        body = response.body if settled is answer else dumped(settled)
        body, dropped = answer_for(sent.plan.call.wire, sent.wire, settled, body)
        self.received = ReceivedAnswer(
            model=str(answer.get("model") or sent.name),
            answer=settled,
            usage=sent.wire.usage(answer),
            characters=len(response.body),
            dropped=(*self.received.dropped, *dropped),
        )
        return body

    async def _as_stream(self, response: ProviderResponse) -> AsyncIterator[bytes]:
        """Yield a whole answer as a stream: the provider is a local one, or knows no streams."""
        answer = parse_object(response.body)
        if answer.get("error"):
            raise TryFailed(failure_within(answer, datetime.now(UTC)))
        if not self._sent.wire.is_answer(answer):
            raise TryFailed(garbage(self._sent.wire.name, response.body))
        yield b"".join(self._sent.wire.stream_of(answer))

    async def _pass_on(self, pieces: AsyncIterator[bytes]) -> bytes:
        sent, exchange = self._sent, self._sent.plan.call.exchange
        splitter, tracker = Splitter(self._max_event), sent.wire.tracker(self._ids)
        relay = relay_for(sent.plan.call.request, sent.plan.call.wire, sent.wire)
        try:
            async for piece in pieces:
                out = bytearray()
                for event in splitter.feed(piece):
                    seen = tracker.see(event)
                    out += relay.feed(seen.event, seen.data)
                    if tracker.complete:
                        break
                if self.received.first_token is None and tracker.characters:
                    self.received = replace(self.received, first_token=monotonic() - sent.began)
                if out:
                    await self._write(tracker.model, bytes(out))
                if tracker.complete:
                    self.received = replace(self.received, answer=tracker.answer)
                    return relay.end()
                if exchange.gone:
                    raise TryFailed(caller_gone())
            raise TryFailed(broken_stream("it ended without its end mark"))
        except ProviderError as error:
            raise TryFailed(failure_within(error.answer, datetime.now(UTC))) from error
        except (ValueError, RecursionError) as error:
            raise TryFailed(unusable(f"the provider's stream is none on the {sent.wire.name} wire: {error}")) from error
        finally:
            self.received = replace(
                self.received,
                model=tracker.model or sent.name,
                usage=tracker.usage,
                characters=tracker.characters,
                dropped=(*self.received.dropped, *dict.fromkeys(relay.dropped)),
            )

    async def _write(self, model: str, data: bytes) -> None:
        exchange = self._sent.plan.call.exchange
        if not exchange.started:
            self.received = replace(self.received, model=model or self._sent.name)
            await exchange.start(answer_headers(self._sent, self.received))
        await exchange.write(data)
