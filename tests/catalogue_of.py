"""Makes trajectories in a catalogue as they come to be: by events, the handlers and the finaliser."""

import json
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import structlog

from bench.collectors import steps_of
from synthbench.chassis.delivery import Delivery
from synthbench.collector.adapters.events import EventStore
from synthbench.collector.adapters.finalising import FinalisingStore
from synthbench.collector.adapters.steps import StepStore
from synthbench.collector.finaliser import Finaliser, IncompleteAttempts
from synthbench.collector.handlers import CollectorHandlers
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import AttemptClosed, LlmCalled, TaskAccepted, TrajectoryCurated, TrajectoryScored
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.model import Record
from synthbench.contracts.registry import Service, durable
from synthbench.contracts.steps import State
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Database

_GOLDEN = Path(__file__).parents[1] / "proto" / "golden"


class NoOutbox:
    """An outbox that drops its events."""

    async def add(self, *_: Any, **__: Any) -> None:
        """Drop the event."""

    async def again(self, *_: Any, **__: Any) -> None:
        """Drop the event."""


def golden(event: str) -> dict[str, Any]:
    """A sample of an event."""
    return json.loads((_GOLDEN / f"{event}.full.json").read_text())


class TrajectoryMaker:
    """A collector's handlers and finaliser, fed with events; nothing that they announce goes out."""

    def __init__(self, database: Database, store: ArtifactStore) -> None:
        incomplete, outbox = IncompleteAttempts(), cast("Any", NoOutbox())
        self.store = store
        self.handlers = CollectorHandlers(EventStore(database, outbox), StepStore(database), incomplete)
        settings = CollectorSettings(journal_after_seconds=0)
        table = FinalisingStore(database, outbox)
        self.finaliser = Finaliser(settings, table, store, incomplete, structlog.get_logger())

    async def attempt(self, *, steps: int, counted: bool = True) -> UUID:
        """Make an attempt that is closed and not stored yet, with a model call, and a checkpoint in each step.

        Returns:
            The id of its rollout.
        """
        submission, rollout = uuid7(), uuid7()
        scope = {"submission_id": str(submission), "rollout_id": str(rollout), "attempt": 1, "campaign": "c"}
        accepted = TaskAccepted.model_validate({**golden("task.accepted"), **scope, "rollout_ids": [str(rollout)]})
        await self.handlers.on_accepted(delivered(accepted, "task.accepted"))
        called = LlmCalled.model_validate({**golden("llm.called"), **scope, "call_id": str(uuid7())})
        await self.handlers.on_calls([delivered(called, "llm.called")])
        recorded = []
        for body in steps_of(rollout, steps):
            checkpoint = await self.store.put(f"checkpoint {rollout} {body.step.index}".encode())
            step = body.step.model_copy(update={"state": State(checkpoint=checkpoint)}).sealed()
            whole = body.model_copy(update={"step": step, "submission_id": submission})
            recorded.append(delivered(whole, "step.recorded"))
        await self.handlers.on_steps(recorded)
        closed = golden("attempt.closed")
        ended = "unsolved" if counted else "infra_error"
        outcome = {"counted": counted, "outcome": ended, "report": None, "last": True}
        inner = {**closed["rollout"], "rollout_id": str(rollout), "submission_id": str(submission), "campaign": "c"}
        body = AttemptClosed.model_validate({**closed, **scope, **outcome, "rollout": inner})
        await self.handlers.on_closed(delivered(body, "attempt.closed"))
        return rollout

    async def trajectory(self, *, steps: int, counted: bool = True, verdict: str = "") -> UUID:
        """Make a stored trajectory, with a verdict if one is named; return its id."""
        rollout = await self.attempt(steps=steps, counted=counted)
        assert await self.finaliser.sweep() == 1
        identity = derived_id("trajectory", rollout, 1)
        if verdict:
            told = {"rollout_id": str(rollout), "attempt": 1, "campaign": "c", "trajectory_id": str(identity)}
            scored = TrajectoryScored.model_validate({**golden("trajectory.scored"), **told, "verdict": verdict})
            await self.handlers.on_verdict(delivered(scored, "trajectory.scored"))
            curated = TrajectoryCurated.model_validate({**golden("trajectory.curated"), **told})
            await self.handlers.on_verdict(delivered(curated, "trajectory.curated"))
        return identity


def delivered(body: Record, event: str) -> Delivery[Any]:
    envelope = Envelope(body, "test")
    return Delivery(envelope, durable(Service.COLLECTOR, event), cast("Any", None), body.to_json())
