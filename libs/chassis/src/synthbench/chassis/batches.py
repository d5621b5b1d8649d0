"""Pull consumers for many small events, such as the steps that the collector stores: a batch for each handler call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nats.aio.msg import Msg

from synthbench.chassis.background import keep_running
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import one_line
from synthbench.chassis.process import Chassis
from synthbench.chassis.processor import MessageProcessor, heartbeats
from synthbench.chassis.pull import LONG_POLL_SECONDS, Puller, require
from synthbench.chassis.settle import MAX_DELIVERIES, is_outage
from synthbench.contracts.registry import Durable

_LAST_FETCH_SECONDS = 0.2


class BatchConsumer:
    """Many messages in one handler call, acknowledged together when it returned; meanwhile the next ones come in.

    If the handler fails, each message is tried alone, so that one bad message cannot hold up or drag down the others.
    """

    def __init__(
        self,
        chassis: Chassis,
        durable: Durable,
        handler: Callable[[Sequence[Delivery[Any]]], Awaitable[None]],
        *,
        batch: int = 500,
        max_deliveries: int = MAX_DELIVERIES,
    ) -> None:
        self._chassis = chassis
        self._puller = Puller(chassis, durable)
        self._processor = MessageProcessor(chassis.bus, durable, chassis.log, max_deliveries=max_deliveries)
        self._handler = handler
        self._batch = batch
        self._stopped = asyncio.Event()
        self._busy = False
        self._loop: asyncio.Task[object] | None = None
        self._next_batch: asyncio.Task[list[Msg]] | None = None

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
        """Return the batch that was fetched meanwhile, and begin to fetch the next one."""
        self._next_batch = self._next_batch or self._fetch()
        await asyncio.wait([self._next_batch])
        fetched, self._next_batch = self._next_batch, self._fetch()
        return fetched.result()

    def _fetch(self) -> asyncio.Task[list[Msg]]:
        return asyncio.create_task(self._puller.fetch(self._batch, LONG_POLL_SECONDS))

    def _prefetched(self) -> list[Msg]:
        """Messages of the next batch that were fetched already."""
        return (
            self._next_batch.result()
            if self._next_batch and self._next_batch.done() and not self._next_batch.exception()
            else []
        )

    async def _take(self, messages: Sequence[Msg]) -> None:
        async with heartbeats(lambda: [*(one for one in messages if not one.is_acked), *self._prefetched()]):
            received = [await self._processor.receive(message) for message in messages]
            if deliveries := [delivery for delivery in received if delivery is not None]:
                await self._work(deliveries)

    async def _work(self, deliveries: Sequence[Delivery[Any]]) -> None:
        messages = [delivery.message for delivery in deliveries]
        try:
            await self._handler(deliveries)
        except Exception as error:  # noqa: BLE001 - each message is settled by its own fate
            if is_outage(error) or len(deliveries) == 1:
                await self._settle_all(messages, error)
                return
            self._chassis.log.warning("batch failed, trying one by one", error=one_line(error), size=len(deliveries))
            for delivery in deliveries:
                await self._processor.run(delivery, self._alone)
        else:
            await self._processor.acknowledge(messages)

    async def _alone(self, delivery: Delivery) -> None:
        await self._handler([delivery])

    async def _settle_all(self, messages: Sequence[Msg], error: BaseException | None) -> None:
        await asyncio.gather(*(self._processor.settle(message, error) for message in messages))

    async def drain(self, seconds: float) -> None:
        """Finish the current batch within `seconds`; else it is cancelled, and its messages negatively acknowledged."""
        self._stopped.set()
        if self._loop is None:
            return
        if not self._busy:
            await self._end()
        await self._give_back()
        await self._puller.unsubscribe()  # first of all, or what is given back would come to us again
        await asyncio.wait([self._loop], timeout=seconds)
        await self._end()

    async def _end(self) -> None:
        if self._loop and self._loop.cancel():
            await asyncio.wait([self._loop], timeout=1)

    async def _give_back(self) -> None:
        """Negatively acknowledge the messages of the next batch, so that another replica gets them at once."""
        fetching, self._next_batch = self._next_batch, None
        if fetching is None:
            return
        await asyncio.wait([fetching], timeout=_LAST_FETCH_SECONDS)
        if fetching.cancel():
            await asyncio.wait([fetching])
        else:
            await self._settle_all(fetching.result(), asyncio.CancelledError())
