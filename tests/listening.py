"""What the tests of consumers listen with."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from synthbench.chassis.batches import BatchConsumer
from synthbench.chassis.bus import Bus
from synthbench.chassis.consumer import Consumer
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.process import Chassis
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.registry import Durable, Service, durable

SUBMITTED = durable(Service.SCHEDULER, "task.submitted")
KINDS = ("consumer", "batch", "faststream")

Handler = Callable[[Delivery[TaskSubmitted]], Awaitable[None]]
Listen = Callable[[Chassis, Handler], Awaitable[None]]


async def listen_with(kind: str, chassis: Chassis, handler: Handler) -> None:
    async def whole(deliveries: Sequence[Delivery[TaskSubmitted]]) -> None:
        for one in deliveries:
            await handler(one)

    match kind:
        case "consumer":
            Consumer(chassis, SUBMITTED, handler).start()
        case "batch":
            BatchConsumer(chassis, SUBMITTED, whole).start()
        case _:
            subscribers = EventSubscribers(chassis)
            subscribers.on(TaskSubmitted, handler)
            await subscribers.start()


class RecordingHandler:
    """A handler that remembers what it saw, and ends as it is told: the last outcome for all that come after."""

    def __init__(self, *outcomes: Exception | None, seconds: float = 0.0) -> None:
        self.seen: list[Delivery[Any]] = []
        self.times: list[float] = []
        self.finished = 0
        self._outcomes = outcomes or (None,)
        self._seconds = seconds

    @property
    def tasks(self) -> list[str]:
        return [str(getattr(one.envelope.body, "task", "")) for one in self.seen]

    async def __call__(self, one: Delivery[Any]) -> None:
        self.seen.append(one)
        self.times.append(time.monotonic())
        outcome = self._outcomes[min(len(self.seen), len(self._outcomes)) - 1]
        await asyncio.sleep(self._seconds)
        if outcome is not None:
            raise outcome
        self.finished += 1


def submitted(task: str = "some-task", **fields: object) -> TaskSubmitted:
    return TaskSubmitted.model_validate({"task": task, **fields})


async def shorten_ack_wait(bus: Bus, source: Durable, seconds: float) -> None:
    config = (await bus.js.consumer_info(source.stream, source.name)).config
    config.ack_wait = seconds
    await bus.js.add_consumer(source.stream, config)
