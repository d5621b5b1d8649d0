"""Handlers of the collector's events, each idempotent by natural key and in its own transaction."""

from collections.abc import Sequence

from synthbench.chassis.delivery import Delivery
from synthbench.collector.adapters.events import EventStore
from synthbench.collector.adapters.steps import StepStore
from synthbench.collector.domain.step_batch import sort_steps
from synthbench.collector.finaliser import IncompleteAttempts
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptFinished,
    AttemptStarted,
    LlmCalled,
    StepRecorded,
    TaskAccepted,
    TrajectoryCurated,
    TrajectoryScored,
)


class CollectorHandlers:
    """Stores what the bus brings, and wakes the finaliser."""

    def __init__(self, events: EventStore, steps: StepStore, incomplete: IncompleteAttempts) -> None:
        self._events = events
        self._steps = steps
        self._incomplete = incomplete

    async def on_steps(self, deliveries: Sequence[Delivery[StepRecorded]]) -> None:
        """Store a batch of steps; what contradicts an earlier step, or its own digest, is set aside."""
        batch = sort_steps((delivery.event, delivery.payload) for delivery in deliveries)
        await self._steps.write(batch)
        if not self._incomplete.keys.isdisjoint(batch.steps):
            self._incomplete.wake.set()

    async def on_calls(self, deliveries: Sequence[Delivery[LlmCalled]]) -> None:
        """Store a batch of model calls."""
        await self._events.keep_calls(delivery.event for delivery in deliveries)

    async def on_accepted(self, delivery: Delivery[TaskAccepted]) -> None:
        """Store a submission."""
        await self._events.keep_submission(delivery.event)

    async def on_started(self, delivery: Delivery[AttemptStarted]) -> None:
        """Store an executor's first report on an attempt."""
        await self._events.keep_started(delivery.event)

    async def on_finished(self, delivery: Delivery[AttemptFinished]) -> None:
        """Store an executor's last report on an attempt."""
        await self._events.keep_finished(delivery.event)

    async def on_closed(self, delivery: Delivery[AttemptClosed]) -> None:
        """Store how an attempt was closed, and wake the finaliser."""
        await self._events.keep_closed(delivery.event)
        self._incomplete.wake.set()

    async def on_verdict(self, delivery: Delivery[TrajectoryScored | TrajectoryCurated]) -> None:
        """Store what quality and diversity announce of a trajectory."""
        await self._events.keep_verdict(delivery.event)
