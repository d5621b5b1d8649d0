"""Event handlers over FastStream, for services whose handlers are short: scheduler, quality, diversity.

FastStream brings typed handlers, the pull loops, middlewares, the drain, its test broker and the AsyncAPI document.
It works on the connection of the `Bus`, its subscriptions are `Puller`s, and how a message is settled is decided by
`settle` alone, as for every other consumer (AckPolicy.MANUAL). One message at a time for each durable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

from faststream import AckPolicy, BaseMiddleware
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from synthbench.chassis.bus import Bus
from synthbench.chassis.delivery import Delivery, OnMalformed
from synthbench.chassis.process import Chassis
from synthbench.chassis.processor import MessageProcessor
from synthbench.chassis.pull import LONG_POLL_SECONDS, Puller, require
from synthbench.contracts.model import Record
from synthbench.contracts.registry import BY_BODY, Durable, durables_of

Event = TypeVar("Event", bound=Record)
_CANCELLED_SECONDS = 2.0


class _Settling(BaseMiddleware[Any, Msg]):
    """Decodes a message and settles it by the end of its handler, with its span, its log lines and its metrics."""

    def __init__(self, msg: Msg, /, *, processors: Mapping[str, MessageProcessor], **context: Any) -> None:
        super().__init__(msg, **context)
        self._processors = processors

    async def consume_scope(self, call_next: Callable[[Any], Awaitable[Any]], msg: StreamMessage[Msg]) -> None:
        """Let the next middlewares and the handler work on what could be decoded."""
        processor = self._processors[msg.raw_message.subject]
        delivery = await processor.receive(msg.raw_message, msg.decode)
        if delivery is not None:
            await processor.run(delivery, lambda _: call_next(msg))


class _Subscriptions:
    """Stands for JetStream in front of FastStream: its pull subscriptions are `Puller`s, which outlive outages."""

    def __init__(self) -> None:
        self.pullers: dict[str, Puller] = {}

    async def pull_subscribe(self, *, durable: str, **_options: object) -> Puller:
        """Return the puller of a durable, which exists already."""
        return self.pullers[durable]


class _Broker(NatsBroker):
    """FastStream's broker on the connection of the `Bus`, which outlives it."""

    def __init__(self, bus: Bus, subscriptions: _Subscriptions, **options: Any) -> None:
        super().__init__(**options)
        self._bus = bus
        self._subscriptions = cast("JetStreamContext", subscriptions)

    async def _connect(self) -> Client:
        self.config.connection_state.connect(self._bus.nc, self._subscriptions)
        return self._bus.nc


class EventSubscribers:
    """The events that one service listens to. `broker` is FastStream's, which tests may put into its test broker."""

    def __init__(self, chassis: Chassis) -> None:
        self._chassis = chassis
        self._processors: dict[str, MessageProcessor] = {}
        self._subscriptions = _Subscriptions()
        self.broker = _Broker(
            chassis.bus,
            self._subscriptions,
            middlewares=[partial(_Settling, processors=self._processors)],
            graceful_timeout=chassis.settings.drain_seconds,
            logger=None,
        )

    def on(
        self,
        event: type[Event],
        handler: Callable[[Delivery[Event]], Awaitable[None]],
        *,
        on_malformed: OnMalformed | None = None,
    ) -> None:
        """Call `handler` for each event; `on_malformed` tells the sender of a broken one, before its dead letter.

        Of events that name their sender each one's are handled in turn, side by side with those of the others.
        """
        for source in durables_of(self._chassis.service, BY_BODY[event].name, self._chassis.settings.client_names):
            self._subscribe(source, handler, on_malformed)

    def _subscribe(
        self, source: Durable, handler: Callable[[Delivery[Any]], Awaitable[None]], on_malformed: OnMalformed | None
    ) -> None:
        chassis = self._chassis
        processor = MessageProcessor(chassis.bus, source, chassis.log, on_malformed=on_malformed)

        async def decode(message: StreamMessage[Msg]) -> Delivery:
            return await processor.decode(message.raw_message)

        subscriber = self.broker.subscriber(
            source.subject,
            stream=JStream(str(source.stream), declare=False),
            durable=source.name,
            pull_sub=PullSub(batch_size=1, timeout=LONG_POLL_SECONDS),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            decoder=decode,
        )
        subscriber(handler)
        self._processors[source.subject] = processor
        self._subscriptions.pullers[source.name] = Puller(chassis, source)

    async def start(self) -> None:
        """Begin to fetch.

        Raises:
            TopologyError: a durable does not exist.
        """
        await require(self._chassis.bus.js, *(processor.durable for processor in self._processors.values()))
        self._chassis.consumer(self)
        await self.broker.start()

    async def drain(self, seconds: float) -> None:  # noqa: ARG002 - the broker knows the same time from the settings
        """Fetch no more; handlers that take longer are cancelled, and their messages negatively acknowledged."""
        loops: list[asyncio.Task[Any]] = [task for one in self.broker.subscribers for task in getattr(one, "tasks", ())]
        await asyncio.gather(*(subscriber.stop() for subscriber in self.broker.subscribers))
        if loops:
            await asyncio.wait(loops, timeout=_CANCELLED_SECONDS)
