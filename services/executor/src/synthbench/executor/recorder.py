"""The steps of an attempt: each is safe, in the journal and on the bus, before the next one starts."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Literal, Protocol

from synthbench.contracts.events import StepRecorded
from synthbench.contracts.journal import JournalEvent
from synthbench.contracts.records import ArtifactRef, KeptFile, Timing, Usage
from synthbench.contracts.scope import AttemptScope
from synthbench.contracts.steps import Action, ChangedPath, ModelCall, Observation, State, Step
from synthbench.executor.domain.clock import Clock
from synthbench.executor.domain.shaping import WorkspaceChange
from synthbench.sandbox.diff import Snapshot
from synthbench.sandbox.protocol import Sandbox


class StepAnnouncer(Protocol):
    """The part of `EventAnnouncer` that records steps."""

    @property
    def scope(self) -> AttemptScope:
        """The attempt whose events it announces."""
        ...

    async def keep(self, data: bytes, media_type: str = "application/x-tar") -> ArtifactRef:
        """Store a checkpoint, or a file that an agent left."""
        ...

    async def announce(self, event: JournalEvent) -> None:
        """Write an event to the journal and publish it; it is safe when this returns."""
        ...


@dataclass(frozen=True)
class AgentTurn:
    """One turn of an agent, as its scaffold hands it over to be recorded as a step."""

    action: Action
    observations: Sequence[Observation]
    started_at: datetime
    cwd: str = ""
    """The working folder after the turn; empty for the sandbox's workdir."""
    usage: Usage = Usage()
    timing: Timing = Timing()
    model_call: ModelCall | None = None
    native: str = ""
    """JSON of the record that the agent itself wrote of the turn; empty where it wrote none."""
    kind: Literal["turn", "condensation"] = "turn"
    finish_reason: str = ""
    """Why the model stopped, in OpenAI's words."""


class StepRecorder:
    """Makes steps of an agent's turns, with the state of the workspace after each.

    Args:
        announcer: where steps go.
        sandbox: where the agent works.
        since: its workspace before the first turn.
        clock: counts what is used.
        checkpoints: keep the files that each step changed, so that work can go on from there.
    """

    def __init__(
        self, announcer: StepAnnouncer, sandbox: Sandbox, since: Snapshot, clock: Clock, *, checkpoints: bool = False
    ) -> None:
        self._announcer = announcer
        self._sandbox = sandbox
        self._last = since
        self._clock = clock
        self._checkpoints = checkpoints
        self.digests: list[str] = []
        self.changes: list[WorkspaceChange] = []
        self.kept: list[KeptFile] = []
        self.finish_reason = ""
        """Why the model stopped at the newest turn."""

    async def keep(self, path: str, data: bytes, media_type: str) -> None:
        """Keep a file beside the steps: the output that an agent printed, or a record that it wrote itself."""
        self.kept.append(KeptFile(path=path, artifact=await self._announcer.keep(data, media_type)))

    async def take_over(self, step: Step) -> None:
        """Record a step of an earlier attempt as the next step of this one; it is safe when this returns."""
        await self._announce(step.sealed())
        self._clock.carry(step.usage, step.timing)

    async def record(self, turn: AgentTurn) -> Step:
        """Seal, journal and publish one step; return it when it is safe."""
        began = monotonic()
        self.finish_reason = turn.finish_reason
        diff, self._last = await self._sandbox.step(self._last)
        keeps = self._checkpoints and bool(diff.changes)
        codes = [observation.exit_code for observation in turn.observations if observation.exit_code is not None]
        step = Step(
            index=len(self.digests),
            kind=turn.kind,
            started_at=turn.started_at,
            finished_at=datetime.now(UTC),
            action=turn.action,
            observations=list(turn.observations),
            state=State(
                cwd=turn.cwd or self._sandbox.workdir,
                exit_code=codes[-1] if codes else None,
                changed=[
                    ChangedPath(path=c.path, kind=c.kind, type=c.type, digest=c.digest, size=c.size)
                    for c in diff.changes
                ],
                patch=diff.patch,
                checkpoint=await self._announcer.keep(diff.archive) if keeps else None,
                left_out=dict(diff.refused) if self._checkpoints else {},
            ),
            usage=turn.usage,
            timing=turn.timing,
            model_call=turn.model_call,
            native=turn.native,
        ).sealed()
        await self._announce(step)
        waited = turn.timing.waited_seconds + monotonic() - began
        self._clock.add(turn.usage, turn.timing.model_copy(update={"waited_seconds": waited}))
        return step

    async def _announce(self, step: Step) -> None:
        """Announce a step and count it, even when cancelled: the report names every step that was announced."""
        announcing = asyncio.create_task(self._announce_and_count(step))
        try:
            await asyncio.shield(announcing)
        except asyncio.CancelledError:
            with suppress(Exception):  # a step that is not announced is not counted either
                await announcing  # the bus gives up after its own time
            raise

    async def _announce_and_count(self, step: Step) -> None:
        await self._announcer.announce(StepRecorded(**self._announcer.scope.fields, step=step))
        self.digests.append(step.digest)
        if change := WorkspaceChange.of(step):
            self.changes.append(change)
