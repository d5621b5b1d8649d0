"""What the collector does on each event. Idempotent by natural key, each in its own transaction."""

from collections.abc import Sequence

from synthbench.chassis.consumer import Delivery
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

    async def on_steps(self, deliveries: Sequence[Delivery]) -> None:
        """Store a batch of steps; what contradicts an earlier step, or its own digest, is set aside."""
        batch = sort_steps(
            (body, delivery.payload)
            for delivery in deliveries
            if isinstance(body := delivery.envelope.body, StepRecorded)
        )
        await self._steps.write(batch)
        if not self._incomplete.keys.isdisjoint(batch.steps):
            self._incomplete.wake.set()

    async def on_calls(self, deliveries: Sequence[Delivery]) -> None:
        """Store a batch of model calls."""
        bodies = [delivery.envelope.body for delivery in deliveries]
        await self._events.keep_calls(body for body in bodies if isinstance(body, LlmCalled))

    async def on_accepted(self, delivery: Delivery) -> None:
        """Store a submission."""
        body = delivery.envelope.body
        assert isinstance(body, TaskAccepted)
        await self._events.keep_submission(body)

    async def on_started(self, delivery: Delivery) -> None:
        """Store an executor's first report on an attempt."""
        body = delivery.envelope.body
        assert isinstance(body, AttemptStarted)
        await self._events.keep_started(body)

    async def on_finished(self, delivery: Delivery) -> None:
        """Store an executor's last report on an attempt."""
        body = delivery.envelope.body
        assert isinstance(body, AttemptFinished)
        await self._events.keep_finished(body)

    async def on_closed(self, delivery: Delivery) -> None:
        """Store how an attempt was closed, and wake the finaliser."""
        body = delivery.envelope.body
        assert isinstance(body, AttemptClosed)
        await self._events.keep_closed(body)
        self._incomplete.wake.set()

    async def on_verdict(self, delivery: Delivery) -> None:
        """Store what quality and diversity announce of a trajectory."""
        body = delivery.envelope.body
        assert isinstance(body, TrajectoryScored | TrajectoryCurated)
        await self._events.keep_verdict(body)
