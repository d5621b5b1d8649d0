"""Event handlers over FastStream, for services whose handlers are short: scheduler, quality, diversity.

FastStream brings the connection, the pull loops and the drain; how a message is settled is decided by `settle` alone,
as for every other consumer (AckPolicy.MANUAL). One message at a time for each durable, which exist already.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.message import NatsMessage
from faststream.security import SASLPlaintext
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from synthbench.chassis import metrics
from synthbench.chassis.bus import instance_name
from synthbench.chassis.consumer import require
from synthbench.chassis.delivery import Delivery, Desk, OnMalformed
from synthbench.chassis.errors import one_line
from synthbench.chassis.health import FetchAge
from synthbench.chassis.process import Chassis
from synthbench.contracts.registry import Durable, durables_of

_POLL_SECONDS = 5.0
_PAUSE_SECONDS = 0.5

Handler = Callable[[Delivery], Awaitable[None]]


@dataclass
class _Subscribed:
    desk: Desk
    subscriber: Any
    age: FetchAge


class EventSubscribers:
    """The events that one service listens to."""

    def __init__(self, chassis: Chassis) -> None:
        settings = chassis.settings
        security = None
        if settings.nats_user:
            security = SASLPlaintext(settings.nats_user, settings.nats_password.get_secret_value(), use_ssl=False)
        self._chassis = chassis
        self._subscribed: list[_Subscribed] = []
        self._running: set[asyncio.Task[Any]] = set()
        self._broker = NatsBroker(
            settings.nats_url,
            security=security,
            name=f"{instance_name(chassis.service)}-events",
            inbox_prefix=f"_INBOX.{chassis.service}",
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            graceful_timeout=settings.drain_seconds,
            apply_types=False,
            decoder=_raw,
            logger=None,
        )

    def on(self, event: str, handler: Handler, *, on_malformed: OnMalformed | None = None) -> None:
        """Call `handler` for each event; `on_malformed` tells the sender of a broken one, before its dead letter.

        Of events that name their sender each one's are handled in turn, side by side with those of the others.
        """
        for source in durables_of(self._chassis.service, event, self._chassis.settings.client_names):
            self._subscribe(source, handler, on_malformed)

    def _subscribe(self, source: Durable, handler: Handler, on_malformed: OnMalformed | None) -> None:
        chassis = self._chassis
        desk = Desk(chassis.bus, source, chassis.log, on_malformed=on_malformed)
        subscriber = self._broker.subscriber(
            source.subject,
            stream=JStream(str(source.stream), declare=False),
            durable=source.name,
            pull_sub=PullSub(batch_size=1, timeout=_POLL_SECONDS),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            inbox_prefix=f"_INBOX.{chassis.service}.".encode(),  # the broker's own prefix does not reach pulls
        )

        async def consume(message: Msg) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                delivery = await desk.receive(message)
                if delivery is not None:
                    await desk.handle(delivery, handler)
            finally:
                self._running.discard(task)

        subscriber(consume)
        self._subscribed.append(_Subscribed(desk, subscriber, chassis.health.watch_fetches(source.name)))

    async def start(self) -> None:
        """Bind to the durables and begin to fetch.

        Raises:
            TopologyError: a durable does not exist.
        """
        await require(self._chassis.bus.js, *(one.desk.durable for one in self._subscribed))
        self._chassis.consumer(self)
        await self._broker.start()
        for one in self._subscribed:
            self._watch(one)

    def _watch(self, one: _Subscribed) -> None:
        """FastStream's pull loop ends on errors it does not know, and tells nobody how its fetches go."""
        subscription = one.subscriber.subscription
        fetch = subscription.fetch
        name = one.desk.durable.name

        async def watched(*args: Any, **options: Any) -> list[Msg]:
            one.age.asking()
            try:
                messages: list[Msg] = await fetch(*args, **options)
            except TimeoutError:
                if not self._chassis.bus.nc.is_connected:
                    return []
                messages = []
            except (NatsError, JetStreamError, OSError) as error:
                self._chassis.log.warning("fetch failed", consumer=name, error=one_line(error))
                await asyncio.sleep(_PAUSE_SECONDS)
                return []
            one.age.answered()
            metrics.LAST_FETCH.labels(name).set_to_current_time()
            return messages

        subscription.fetch = watched

    async def drain(self, seconds: float) -> None:
        """Fetch no more; running handlers finish within `seconds`, or are cancelled and their messages naked."""
        for one in self._subscribed:
            one.subscriber.running = False
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
        with contextlib.suppress(TimeoutError, NatsError):
            await asyncio.wait_for(self._broker.stop(), 5)


async def _raw(message: NatsMessage) -> Msg:
    """Hand the message on as nats-py gave it: decoding is the contracts' business."""
    return message.raw_message
