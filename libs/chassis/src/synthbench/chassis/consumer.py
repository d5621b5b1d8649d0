"""Pull consumers for long work, such as the attempts of an executor: one message for each free permit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from nats.aio.msg import Msg

from synthbench.chassis.background import keep_running
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.process import Chassis
from synthbench.chassis.processor import MessageProcessor
from synthbench.chassis.pull import LONG_POLL_SECONDS, Puller, require
from synthbench.chassis.settle import MAX_DELIVERIES
from synthbench.contracts.registry import Durable

_FIRST_POLL, _SIDE_POLL = 0.1, 0.02
"""Seconds that each of several durables is asked in turn: the second one longer, so that an idle round is no spin."""


class Consumer:
    """One message for each free permit: a permit first, then a fetch, so that no fetched message waits for a handler.

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
        handler: Callable[[Delivery[Any]], Awaitable[None]],
        *,
        permits: asyncio.Semaphore | None = None,
        max_deliveries: int = MAX_DELIVERIES,
        in_turn: bool = False,
    ) -> None:
        named = [durables] if isinstance(durables, Durable) else list(durables)
        self._pullers = [Puller(chassis, durable) for durable in named]
        self._processors = {
            durable.name: MessageProcessor(chassis.bus, durable, chassis.log, max_deliveries=max_deliveries)
            for durable in named
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

    async def _next(self) -> tuple[MessageProcessor, Msg] | None:
        """Ask the durables in turn; a lone one is asked patiently."""
        lone = len(self._pullers) == 1
        while not self._stopped.is_set():
            for index, puller in enumerate(self._pullers):
                timeout = LONG_POLL_SECONDS if lone else _FIRST_POLL if index == 1 else _SIDE_POLL
                messages = await puller.fetch(1, timeout)
                if messages:
                    if self._in_turn:
                        self._pullers = [*self._pullers[index + 1 :], *self._pullers[: index + 1]]
                    return self._processors[puller.durable.name], messages[0]
        return None

    async def _work(self, processor: MessageProcessor, message: Msg) -> None:
        delivery = await processor.receive(message)
        if delivery is not None:
            await processor.run(delivery, self._handler)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._permits.release()
        if not task.cancelled() and task.exception() is not None:
            self._chassis.log.error("consumer failed", exc_info=task.exception())

    async def drain(self, seconds: float) -> None:
        """Fetch no more; handlers that take longer are cancelled, and their messages negatively acknowledged."""
        self._stopped.set()
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.wait([self._loop], timeout=1)
        for puller in self._pullers:  # first of all, or what is given back would come to us again
            await puller.unsubscribe()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=2)
