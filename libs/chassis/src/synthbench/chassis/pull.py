"""Pulling from JetStream: the one way by which messages come to handlers, claims and batches."""

import asyncio
import contextlib

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from synthbench.chassis import metrics
from synthbench.chassis.errors import TopologyError, one_line
from synthbench.chassis.health import FetchAge
from synthbench.chassis.process import Chassis
from synthbench.contracts.registry import Durable

LONG_POLL_SECONDS = 5.0
"""How long the server holds a request for messages open where nothing else has to be asked meanwhile."""
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 0.02

Subscription = JetStreamContext.PullSubscription


class Puller:
    """Fetches from one durable that must exist already, and keeps the clock that readiness looks at.

    It has the two methods by which FastStream's pull subscribers use a subscription of nats-py.
    """

    def __init__(self, chassis: Chassis, durable: Durable) -> None:
        self.durable = durable
        self._bus = chassis.bus
        self._log = chassis.log
        self._age: FetchAge = chassis.health.watch_fetches(durable.name)
        self._subscription: Subscription | None = None
        self._closed = False

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109 - the server's wait
        """Wait up to `timeout` seconds for messages; an outage is an empty answer after a short pause."""
        if self._closed:
            await asyncio.sleep(_PAUSE_SECONDS)
            return []
        self._age.asking()
        try:
            subscription = self._subscription or await self._bind()
            messages = await subscription.fetch(batch, timeout=timeout)
        except TimeoutError:
            if not self._bus.nc.is_connected:
                return []
            messages = []
        except (NatsError, JetStreamError, OSError) as error:
            if not self._closed:
                self._log.warning("fetch failed", consumer=self.durable.name, error=one_line(error))
            await asyncio.sleep(_PAUSE_SECONDS)
            return []
        self._age.answered()
        metrics.LAST_FETCH.labels(self.durable.name).set_to_current_time()
        if self._closed:
            await _give_back(messages)
            return []
        return messages

    async def _bind(self) -> Subscription:
        self._subscription = await bind(self._bus.js, self.durable)
        return self._subscription

    async def unsubscribe(self) -> None:
        """Ask no more; messages that arrive too late are negatively acknowledged at once."""
        self._closed = True
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        with contextlib.suppress(NatsError, JetStreamError, TimeoutError, OSError):
            await _give_back(await subscription.fetch(1, timeout=0.01))
        with contextlib.suppress(NatsError, OSError):
            await subscription.unsubscribe()


async def _give_back(messages: list[Msg]) -> None:
    with contextlib.suppress(NatsError, JetStreamError, OSError):
        for message in messages:
            await message.nak()


async def bind(js: JetStreamContext, durable: Durable) -> Subscription:
    """Bind to a durable; services never create one."""
    return await js.pull_subscribe_bind(durable=durable.name, stream=str(durable.stream))


async def require(js: JetStreamContext, *durables: Durable, patience: float = 15.0) -> None:
    """Wait until durables exist: the topology step may be running right now.

    Raises:
        TopologyError: one does not after `patience` seconds, and how to make it.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    for durable in durables:
        while True:
            try:
                await js.consumer_info(str(durable.stream), durable.name)
                break
            except (JetStreamError, NatsError, TimeoutError) as error:
                if loop.time() > deadline:
                    raise TopologyError(
                        f"no consumer {durable.name} on stream {durable.stream} ({one_line(error)}); "
                        "run `python -m synthbench.chassis.topology` first"
                    ) from error
                await asyncio.sleep(_LOOK_SECONDS)
