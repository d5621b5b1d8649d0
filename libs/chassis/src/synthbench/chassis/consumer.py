"""Pull consumers over nats-py, for long work (the executor) and for batches (the collector)."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import Error as JetStreamError

from synthbench.chassis import metrics
from synthbench.chassis.background import keep_running
from synthbench.chassis.delivery import Delivery, Desk, heartbeats
from synthbench.chassis.errors import TopologyError, one_line
from synthbench.chassis.health import FetchAge
from synthbench.chassis.process import Chassis
from synthbench.chassis.settle import MAX_DELIVERIES, is_outage
from synthbench.contracts.registry import Durable

__all__ = ["BatchConsumer", "Consumer", "Delivery"]

_LONG_POLL = 5.0
_FIRST_POLL, _SIDE_POLL = 0.1, 0.02
_PAUSE = 0.5
_GIVE_BACK_SECONDS = 0.2

Subscription = JetStreamContext.PullSubscription


class Puller:
    """Fetches from one durable that must exist already, and keeps the clock that readiness looks at."""

    def __init__(self, chassis: Chassis, durable: Durable) -> None:
        self.durable = durable
        self._bus = chassis.bus
        self._log = chassis.log
        self._age: FetchAge = chassis.health.watch_fetches(durable.name)
        self._subscription: Subscription | None = None

    async def fetch(self, batch: int, timeout: float) -> list[Msg]:  # noqa: ASYNC109 - the server's wait
        """Wait up to `timeout` seconds for messages; an outage is an empty answer after a short pause."""
        self._age.asking()
        try:
            subscription = self._subscription or await self._bind()
            messages = await subscription.fetch(batch, timeout=timeout)
        except TimeoutError:
            if not self._bus.nc.is_connected:
                return []
            messages = []
        except (NatsError, JetStreamError, OSError) as error:
            self._log.warning("fetch failed", consumer=self.durable.name, error=one_line(error))
            await asyncio.sleep(_PAUSE)
            return []
        self._age.answered()
        metrics.LAST_FETCH.labels(self.durable.name).set_to_current_time()
        return messages

    async def _bind(self) -> Subscription:
        self._subscription = await bind(self._bus.js, self.durable)
        return self._subscription

    async def close(self) -> None:
        """Ask no more. What came too late is given back at once."""
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        with contextlib.suppress(NatsError, JetStreamError, TimeoutError, OSError):
            for message in await subscription.fetch(1, timeout=0.01):
                await message.nak()
        with contextlib.suppress(NatsError, OSError):
            await subscription.unsubscribe()


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
                await asyncio.sleep(_SIDE_POLL)


class Consumer:
    """One message for each free permit: a permit first, then a fetch, so that no message waits in our hands.

    Args:
        chassis: of this process; it drains the consumer.
        durables: in the order of their priority; the first that has a message is served.
        handler: returns when the message is done; its exceptions decide what becomes of the message (`settle`).
        permits: how many handlers run at once; one, unless several consumers share a semaphore.
        max_deliveries: failures after which a message goes to the dead letters.
        in_turn: the durables have no order: who was served comes last the next time, so that none keeps others waiting.
    """

    def __init__(
        self,
        chassis: Chassis,
        durables: Durable | Sequence[Durable],
        handler: Callable[[Delivery], Awaitable[None]],
        *,
        permits: asyncio.Semaphore | None = None,
        max_deliveries: int = MAX_DELIVERIES,
        in_turn: bool = False,
    ) -> None:
        named = [durables] if isinstance(durables, Durable) else list(durables)
        self._pullers = [Puller(chassis, durable) for durable in named]
        self._desks = {
            durable.name: Desk(chassis.bus, durable, chassis.log, max_deliveries=max_deliveries) for durable in named
        }
        self._chassis = chassis
        self._handler = handler
        self._permits = permits or asyncio.Semaphore(1)
        self._in_turn = in_turn
        self._running: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()
        self._loop: asyncio.Task[object] | None = None

    def start(self) -> None:
        """Begin to fetch."""
        self._chassis.consumer(self)
        self._loop = self._chassis.task(f"consumer {self._pullers[0].durable.name}", self._run())

    async def _run(self) -> None:
        await require(self._chassis.bus.js, *(puller.durable for puller in self._pullers))
        name = f"consumer {self._pullers[0].durable.name}"
        await keep_running(name, self._take_one, every=0, stop=self._stopped, log=self._chassis.log)

    async def _take_one(self) -> None:
        await self._permits.acquire()
        try:
            found = await self._next()
        except BaseException:
            self._permits.release()
            raise
        if found is None:
            self._permits.release()
            return
        task = asyncio.create_task(self._work(*found))
        self._running.add(task)
        task.add_done_callback(self._done)

    async def _next(self) -> tuple[Desk, Msg] | None:
        """Ask the durables in turn; a lone one is asked patiently."""
        lone = len(self._pullers) == 1
        while not self._stopped.is_set():
            for index, puller in enumerate(self._pullers):
                timeout = _LONG_POLL if lone else _FIRST_POLL if index == 1 else _SIDE_POLL
                messages = await puller.fetch(1, timeout)
                if messages:
                    if self._in_turn:
                        self._pullers = [*self._pullers[index + 1 :], *self._pullers[: index + 1]]
                    return self._desks[puller.durable.name], messages[0]
        return None

    async def _work(self, desk: Desk, message: Msg) -> None:
        delivery = await desk.receive(message)
        if delivery is not None:
            await desk.handle(delivery, self._handler)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._permits.release()
        if not task.cancelled() and task.exception() is not None:
            self._chassis.log.error("consumer failed", exc_info=task.exception())

    async def drain(self, seconds: float) -> None:
        """Fetch no more, let running handlers finish within `seconds`, then cancel them: their messages are naked."""
        self._stopped.set()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop], timeout=1)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=2)
        for puller in self._pullers:
            await puller.close()


class BatchConsumer:
    """Many messages in one handler call, acknowledged together when it returned; meanwhile the next ones come in.

    If the handler fails, each message is tried alone, so that one bad message cannot hold up or drag down the others.
    """

    def __init__(
        self,
        chassis: Chassis,
        durable: Durable,
        handler: Callable[[Sequence[Delivery]], Awaitable[None]],
        *,
        batch: int = 500,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> None:
        self._chassis = chassis
        self._puller = Puller(chassis, durable)
        self._desk = Desk(chassis.bus, durable, chassis.log, max_deliveries=max_deliveries)
        self._handler = handler
        self._batch = batch
        self._stopped = asyncio.Event()
        self._busy = False
        self._loop: asyncio.Task[object] | None = None
        self._coming: asyncio.Task[list[Msg]] | None = None

    def start(self) -> None:
        """Begin to fetch."""
        self._chassis.consumer(self)
        self._loop = self._chassis.task(f"consumer {self._puller.durable.name}", self._run())

    async def _run(self) -> None:
        await require(self._chassis.bus.js, self._puller.durable)
        name = f"consumer {self._puller.durable.name}"
        await keep_running(name, self._take_batch, every=0, stop=self._stopped, log=self._chassis.log)

    async def _take_batch(self) -> None:
        messages = await self._next()
        self._busy = True
        try:
            await self._take(messages)
        except BaseException as error:
            await self._settle_all([message for message in messages if not message.is_acked], error)
            raise
        finally:
            self._busy = False

    async def _next(self) -> list[Msg]:
        """Return what came in meanwhile, and ask for more."""
        self._coming = self._coming or self._ask()
        await asyncio.wait([self._coming])
        came, self._coming = self._coming, self._ask()
        return came.result()

    def _ask(self) -> asyncio.Task[list[Msg]]:
        return asyncio.create_task(self._puller.fetch(self._batch, _LONG_POLL))

    def _waiting(self) -> list[Msg]:
        """What came in already, behind the batch at hand."""
        return self._coming.result() if self._coming and self._coming.done() and not self._coming.exception() else []

    async def _take(self, messages: Sequence[Msg]) -> None:
        async with heartbeats(lambda: [*(one for one in messages if not one.is_acked), *self._waiting()]):
            received = [await self._desk.receive(message) for message in messages]
            if deliveries := [delivery for delivery in received if delivery is not None]:
                await self._work(deliveries)

    async def _work(self, deliveries: Sequence[Delivery]) -> None:
        messages = [delivery.message for delivery in deliveries]
        try:
            await self._handler(deliveries)
        except Exception as error:  # noqa: BLE001 - each message is settled by its own fate
            if is_outage(error) or len(deliveries) == 1:
                await self._settle_all(messages, error)
                return
            self._chassis.log.warning("batch failed, trying one by one", error=one_line(error), size=len(deliveries))
            for delivery in deliveries:
                await self._desk.handle(delivery, self._alone)
        else:
            await self._desk.accept(messages)

    async def _alone(self, delivery: Delivery) -> None:
        await self._handler([delivery])

    async def _settle_all(self, messages: Sequence[Msg], error: BaseException | None) -> None:
        await asyncio.gather(*(self._desk.settle(message, error) for message in messages))

    async def drain(self, seconds: float) -> None:
        """Finish the batch at hand within `seconds`; else it is cancelled, and its messages are naked."""
        self._stopped.set()
        if self._loop is None:
            return
        if not self._busy:
            await self._end()
        await self._give_back()
        await self._puller.close()  # first of all, or what is naked would come to us again
        await asyncio.wait([self._loop], timeout=seconds)
        await self._end()

    async def _end(self) -> None:
        if self._loop and self._loop.cancel():
            await asyncio.wait([self._loop], timeout=1)

    async def _give_back(self) -> None:
        """What came in behind the batch at hand is for somebody else, at once."""
        coming, self._coming = self._coming, None
        if coming is None:
            return
        await asyncio.wait([coming], timeout=_GIVE_BACK_SECONDS)
        if coming.cancel():
            await asyncio.wait([coming])
        else:
            await self._settle_all(coming.result(), asyncio.CancelledError())
