"""The report of an attempt names every step that was announced, whenever the attempt is cancelled."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest

from synthbench.contracts.events import StepRecorded
from synthbench.contracts.journal import JournalEvent
from synthbench.contracts.records import ArtifactRef, RolloutLimits
from synthbench.contracts.scope import AttemptScope
from synthbench.contracts.steps import Action
from synthbench.executor.domain.clock import Clock
from synthbench.executor.recorder import AgentTurn, StepRecorder
from synthbench.sandbox.diff import Diff, Snapshot
from synthbench.sandbox.protocol import Sandbox


@dataclass
class SlowAnnouncer:
    """Announces a step when `go` is set, and fails where told to."""

    scope: AttemptScope = field(default_factory=lambda: AttemptScope(uuid4(), "c", uuid4(), 1))
    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    fails: bool = False
    digests: list[str] = field(default_factory=list)

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        raise NotImplementedError

    async def announce(self, event: JournalEvent) -> None:
        assert isinstance(event, StepRecorded)
        self.begun.set()
        await self.go.wait()
        if self.fails:
            raise OSError("the bus is away")
        self.digests.append(event.step.digest)


class UnchangedSandbox:
    workdir = "/workspace"

    async def step(self, since: Snapshot) -> tuple[Diff, Snapshot]:
        return Diff(changes=(), archive=b"", digest="", patch="", refused=()), since


@pytest.mark.parametrize("fails", [False, True])
async def test_a_step_that_is_being_announced_when_the_attempt_is_cancelled_is_counted_if_it_is_announced(fails: bool):
    announcer = SlowAnnouncer(fails=fails)
    clock = Clock(RolloutLimits())
    recorder = StepRecorder(announcer, cast("Sandbox", UnchangedSandbox()), cast("Snapshot", None), clock)
    recording = asyncio.create_task(recorder.record(AgentTurn(Action(message="m"), [], datetime.now(UTC))))
    await announcer.begun.wait()
    recording.cancel()
    await asyncio.sleep(0)
    assert not recording.done(), "cancelled before it is known whether the step is announced"
    announcer.go.set()
    with pytest.raises(asyncio.CancelledError):
        await recording
    assert recorder.digests == announcer.digests
    assert len(recorder.digests) == (0 if fails else 1)
