"""The life of an attempt."""

from typing import Literal

from synthbench.contracts.events.scope import AttemptEvent
from synthbench.contracts.numbers import Moment
from synthbench.contracts.records import ArtifactRef, Digest, KeptFile, Outcome, Rollout, Timing, Usage
from synthbench.contracts.rewards import Rewards
from synthbench.contracts.steps import Step
from synthbench.contracts.text import Line
from synthbench.contracts.trajectory import AttemptContext
from synthbench.contracts.verification import VerificationResult


class AttemptStarted(AttemptEvent):
    """An executor has claimed the rollout, made the sandbox, and lets the agent begin."""

    rollout: Rollout
    context: AttemptContext
    started_at: Moment


class StepRecorded(AttemptEvent):
    """One step, already safe in the journal."""

    step: Step


class AttemptFinished(AttemptEvent):
    """The executor's report. It closes nothing: only the scheduler closes."""

    context: AttemptContext
    outcome: Outcome
    detail: Line = ""
    step_digests: list[Digest] = []
    """Of all steps, in order: the collector knows from it when it has everything."""
    verification: VerificationResult | None = None
    rewards: Rewards | None = None
    """What it was worth part by part; None without a verification."""
    diff: ArtifactRef | None = None
    patch: ArtifactRef | None = None
    usage: Usage = Usage()
    """Without what copied steps used."""
    timing: Timing = Timing()
    started_at: Moment
    finished_at: Moment
    kept: list[KeptFile] = []
    """What the task wants kept, in its order."""
    permanent: Literal["", "rollout", "submission"] = ""
    """Set where trying again cannot help: nor any other rollout of its `submission` (a wrong key, a model that does not
    exist, a price that nobody knows, a scaffold that is missing), or of this `rollout` alone (a request that the
    provider refuses)."""
    out_of_money: bool = False
    """A budget that it shares with others had nothing left for its next call. Nobody's failure: its rollout goes
    on from here when there is money again."""


class AttemptClosed(AttemptEvent):
    """The scheduler's word, the last one on this attempt."""

    rollout: Rollout
    outcome: Outcome
    counted: bool = False
    """Whether this attempt is the one result of its rollout."""
    last: bool = False
    """Whether no further attempt of the rollout will follow; until then its journal is what that one resumes from."""
    reason: Line = ""
    report: AttemptFinished | None = None
    """What the executor reported; None if the lease ran out before."""
