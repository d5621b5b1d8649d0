"""Decoding, handling and settling messages, the same for every kind of consumer."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
from anyio import CancelScope
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from opentelemetry.trace import SpanKind

from synthbench.chassis import metrics
from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import dead_letter
from synthbench.chassis.delivery import Delivery, Malformed, OnMalformed
from synthbench.chassis.errors import Transient, one_line
from synthbench.chassis.settle import MAX_DELIVERIES, MessageFate, SettleDecision, counts, settle
from synthbench.chassis.telemetry import span
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import CLAIM_CHECK_BYTES, MalformedEvent, Message
from synthbench.contracts.registry import Durable, Stream, sender_of

HEARTBEAT_SECONDS = 10.0
"""A third of the durables' shortest AckWait: a handler may take as long as it needs."""
_ACK_SECONDS = 5.0
_REMEMBERED_FAILURES = 10_000
_CLIENTS_LETTER_BYTES = 1024
_CLIENTS_HEADERS, _CLIENTS_HEADER_CHARACTERS = 16, 128
"""What the dead letters of clients' messages hold at most: together they must not fill a stream that all need."""
_LOG_LEVELS = {MessageFate.ACK: 20, MessageFate.NAK: 30, MessageFate.DEAD: 40}


class MessageProcessor:
    """Decodes the messages of one durable, runs their handler, settles them, and counts the failures that count.

    Args:
        bus: settles messages and keeps dead letters.
        durable: whose messages they are.
        log: of the process.
        max_deliveries: failures after which a message goes to the dead letters.
        on_malformed: tells the sender of a message that is given up.
    """

    def __init__(
        self,
        bus: Bus,
        durable: Durable,
        log: structlog.stdlib.BoundLogger,
        *,
        max_deliveries: int = MAX_DELIVERIES,
        on_malformed: OnMalformed | None = None,
    ) -> None:
        self.durable = durable
        self._bus = bus
        self._log = log.bind(consumer=durable.name)
        self._max_deliveries = max_deliveries
        self._on_malformed = on_malformed
        self._failures: dict[int, int] = {}

    async def decode(self, message: Msg) -> Delivery:
        """Read the event that a message carries.

        Raises:
            MalformedEvent: it is no event of ours.
            Transient: its body lies in the artifact store, which cannot be read now.
        """
        headers = cloudevents.lowered(message.headers)
        payload = await self._bus.read_payload(headers, message.data)
        envelope = cloudevents.decode(
            message.subject, headers, payload, sequence=partial(_sequence, message), stream=self.durable.stream
        )
        return Delivery(envelope, self.durable, message, payload)

    async def receive(self, message: Msg, decode: Callable[[], Awaitable[Any]] | None = None) -> Delivery | None:
        """Decode a message; None if that failed, and the message is settled already.

        Args:
            message: as the server delivered it.
            decode: decodes it, where somebody else keeps the result; else `self.decode` does.
        """
        try:
            return await (decode() if decode else self.decode(message))
        except Exception as error:  # noqa: BLE001 - malformed, or a store that fails: settled like a handler's failure
            await self.settle(message, error, error.payload if isinstance(error, MalformedEvent) else None)
            return None

    async def run(self, delivery: Delivery, handler: Callable[[Delivery[Any]], Awaitable[object]]) -> None:
        """Run the handler with heartbeats, in a span of the event's trace, and settle the message."""
        error: BaseException | None = None
        began = asyncio.get_running_loop().time()
        envelope = delivery.envelope
        attributes = {"messaging.system": "nats", "messaging.destination.name": self.durable.name}
        parent = envelope.trace or None
        with (
            _logging_scope(delivery),
            span(f"process {envelope.spec.name}", parent=parent, kind=SpanKind.CONSUMER, attributes=attributes),
        ):
            try:
                async with heartbeats(lambda: [delivery.message]):
                    await handler(delivery)
            except asyncio.CancelledError as cancelled:
                error = cancelled
            except Exception as failure:  # noqa: BLE001 - settle() decides what becomes of it
                error = failure
            metrics.HANDLER_SECONDS.labels(self.durable.name).observe(asyncio.get_running_loop().time() - began)
            with CancelScope(shield=True):  # FastStream's task group cancels again and again
                await self.settle(delivery.message, error, delivery.payload)
        if isinstance(error, asyncio.CancelledError):
            raise error

    async def settle(self, message: Msg, error: BaseException | None, payload: bytes | None = None) -> SettleDecision:
        """Tell the server how it went. If that fails, the message comes again, which handlers must bear anyway.

        Args:
            message: as it was delivered.
            error: why it failed; None if it did not.
            payload: its body, wherever it lay; the message's own by default.
        """
        meta = message.metadata
        sequence = meta.sequence.stream
        failures = self._count(sequence, error)
        decision = settle(error, meta.num_delivered, failures, self._max_deliveries)
        if decision.fate is MessageFate.DEAD and error is not None:
            error = await self._tell_sender(message, error, message.data if payload is None else payload)
            decision = settle(error, meta.num_delivered, failures, self._max_deliveries)
        result = "dropped" if decision.fate is MessageFate.ACK and decision.reason else str(decision.fate)
        if decision.reason:
            self._log.log(
                _LOG_LEVELS[decision.fate],
                f"message {result}",
                reason=decision.reason,
                subject=message.subject,
                sequence=sequence,
                deliveries=meta.num_delivered,
                exc_info=error if _is_bug(error) else None,
            )
        try:
            await self._send(message, decision, failures)
        except (NatsError, JetStreamError, Transient, TimeoutError, OSError) as failure:
            self._log.warning("could not settle, it will come again", error=one_line(failure), sequence=sequence)
            return decision
        metrics.HANDLED.labels(self.durable.name, result).inc()
        if decision.fate is not MessageFate.NAK:
            self._failures.pop(sequence, None)
        return decision

    async def acknowledge(self, messages: Sequence[Msg]) -> None:
        """Tell the server that these are done, all in one go; what it does not hear comes again."""
        try:
            for message in messages:
                await message.ack()
            await self._bus.nc.flush(timeout=int(_ACK_SECONDS))
        except (NatsError, JetStreamError, TimeoutError, OSError) as failure:
            self._log.warning("could not settle, they will come again", error=one_line(failure), count=len(messages))
            return
        metrics.HANDLED.labels(self.durable.name, str(MessageFate.ACK)).inc(len(messages))
        for message in messages if self._failures else ():
            self._failures.pop(_sequence(message), None)

    async def _tell_sender(self, message: Msg, error: BaseException, payload: bytes) -> BaseException:
        """Tell the sender of what is given up; return why it is settled as it will be: an outage means another try."""
        if self._on_malformed is None:
            return error
        headers = cloudevents.lowered(message.headers)
        event_id = cloudevents.event_id(headers.get("ce-id"), self.durable.stream, partial(_sequence, message))
        problem = error if isinstance(error, MalformedEvent) else MalformedEvent(f"not handled: {one_line(error)}")
        try:
            await self._on_malformed(
                Malformed(event_id, sender_of(message.subject), cloudevents.loads(payload), problem)
            )
        except Exception as raised:  # noqa: BLE001 - telling the sender is retried while it is an outage
            self._log.warning("could not tell the sender", error=one_line(raised))
            return raised if isinstance(raised, Transient) else error
        return error

    def _count(self, sequence: int, error: BaseException | None) -> int:
        if error is None or not counts(error):
            return self._failures.get(sequence, 0)
        if len(self._failures) >= _REMEMBERED_FAILURES:  # other replicas settled them, or they were purged
            self._failures.pop(next(iter(self._failures)))
        self._failures[sequence] = self._failures.get(sequence, 0) + 1
        return self._failures[sequence]

    async def _send(self, message: Msg, decision: SettleDecision, failures: int) -> None:
        match decision.fate:
            case MessageFate.ACK:
                await message.ack_sync(timeout=_ACK_SECONDS)
            case MessageFate.NAK:
                await message.nak(delay=decision.delay)
            case MessageFate.DEAD:
                await self._keep_dead_letter(message, decision.reason, max(failures, 1))
                await message.term()
                metrics.DEAD_LETTERS.labels(self.durable.name).inc()

    async def _keep_dead_letter(self, message: Msg, reason: str, failures: int) -> None:
        """Publish the whole message as a dead letter: only when the server has it may the original be terminated."""
        kept = Message(message.subject, dict(message.headers or {}), message.data)
        if self._bus.stores_payloads:  # in base64 a large one would be more than the server takes
            kept = await self._bus.checked(
                kept, _CLIENTS_LETTER_BYTES if self.durable.from_client else CLAIM_CHECK_BYTES
            )
        if self.durable.from_client:
            kept = Message(kept.subject, _bounded(kept.headers), kept.payload)
        identity, dead = dead_letter(
            message, kept, self.durable.name, self.durable.stream, reason, failures, self._bus.source
        )
        await self._bus.publish_message(dead, msg_id=str(identity), stream=Stream.DEAD)


def _bounded(headers: Mapping[str, str]) -> dict[str, str]:
    """The first of a client's headers, each cut: enough to see what it was."""
    first = [*headers.items()][:_CLIENTS_HEADERS]
    return {name[:_CLIENTS_HEADER_CHARACTERS]: value[:_CLIENTS_HEADER_CHARACTERS] for name, value in first}


def _sequence(message: Msg) -> int:
    """Number in its stream; read from the reply subject only when it is asked for, since mostly nobody does."""
    return message.metadata.sequence.stream


def _is_bug(error: BaseException | None) -> bool:
    """Whether a traceback helps: not for malformed input, and not for what a handler said with our own words."""
    return error is not None and counts(error) and not type(error).__module__.startswith("synthbench.")


@contextlib.asynccontextmanager
async def heartbeats(
    unsettled: Callable[[], Sequence[Msg]], *, every: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[None]:
    """Keep messages in progress at the server while the block runs.

    Args:
        unsettled: returns the messages that are not settled yet; asked at each beat.
        every: seconds between two beats.
    """

    async def beat() -> None:
        while True:
            await asyncio.sleep(every)
            with contextlib.suppress(NatsError, OSError):
                for message in unsettled():
                    await message.in_progress()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()


@contextlib.contextmanager
def _logging_scope(delivery: Delivery):  # noqa: ANN202 - a context manager of nothing
    """Logs of a handler say which attempt they are about."""
    names = ("submission_id", "rollout_id", "attempt")
    scope = {name: str(value) for name in names if (value := getattr(delivery.event, name, None)) is not None}
    with structlog.contextvars.bound_contextvars(**scope):
        yield
