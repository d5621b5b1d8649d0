"""The decisions on claims, closings and retries, as values. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from synthbench.contracts.records import Outcome


class RolloutState(StrEnum):
    """The states of a rollout."""

    PLANNED = "planned"
    READY = "ready"
    """On the bus, waiting for an executor."""
    RUNNING = "running"
    CLOSED = "closed"
    """Its one result counts, and waits for quality and diversity."""
    CURATED = "curated"
    FAILED = "failed"
    """Given up after our own failures; nothing counts."""
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RolloutState.CURATED, RolloutState.FAILED, RolloutState.CANCELLED)


@dataclass(frozen=True)
class AttemptLease:
    """The hold of an open attempt on its rollout, which lasts while its executor sends heartbeats."""

    attempt: int
    executor: str
    expires_at: datetime


@dataclass(frozen=True)
class ClaimDecision:
    """The answer to a claim."""

    status: str
    attempt: int = 0
    reason: str = ""
    retry_after: float = 0.0


def decide_claim(
    state: RolloutState,
    attempts: int,
    lease: AttemptLease | None,
    executor: str,
    now: datetime,
    *,
    started: bool = False,
) -> ClaimDecision:
    """Decide on a claim.

    Args:
        state: of the rollout.
        attempts: how many attempts it had.
        lease: of the attempt that runs now, if one does.
        executor: who asks.
        now: the time.
        started: whether the running attempt was announced as started.
    """
    if state.terminal or state is RolloutState.CLOSED:
        return ClaimDecision("gone", reason=f"the rollout is {state}")
    if lease is None or state is not RolloutState.RUNNING:
        return ClaimDecision("granted", attempts + 1)
    if lease.expires_at <= now:
        return ClaimDecision("busy", reason="the last attempt is being closed", retry_after=0.5)
    if lease.executor == executor and not started:
        # Our answer got lost: the same executor asks again for what it was granted.
        return ClaimDecision("granted", lease.attempt)
    remaining = (lease.expires_at - now).total_seconds()
    return ClaimDecision(
        "busy", reason=f"attempt {lease.attempt} runs on {lease.executor}", retry_after=min(30.0, remaining + 0.5)
    )


@dataclass(frozen=True)
class CloseDecision:
    """The final outcome of an attempt, and the state of its rollout that follows."""

    outcome: Outcome
    counted: bool
    state: RolloutState
    retry_after: float | None = None
    """Seconds until the rollout is made ready again; None if it is not."""
    reason: str = ""

    @property
    def last(self) -> bool:
        """Whether no further attempt of the rollout follows."""
        return self.retry_after is None


def decide_close(
    outcome: Outcome,
    detail: str,
    failures: int,
    *,
    max_attempts: int,
    cancelled: bool,
    pause: float,
    released: bool = False,
    released_pause: float = 0.0,
    permanent: bool = False,
) -> CloseDecision:
    """Decide how an attempt that ended with `outcome` is closed.

    A failure of ours is tried again with a pause that doubles, at most `max_attempts` times; it is never graded. An
    attempt that a draining executor gave back is no failure, nor is one for which a shared budget had no more money.

    Args:
        outcome: as it is reported, or `infra_error` for a lease that ran out.
        detail: one line for people.
        failures: of ours with this rollout before this attempt.
        max_attempts: failures after which it is given up.
        cancelled: whether the rollout was cancelled meanwhile.
        pause: seconds before the second attempt.
        released: whether its executor gave it back, or money ran out: no failure.
        permanent: whether trying again cannot help.
        released_pause: seconds before the attempt after one that was no failure.
    """
    if cancelled or outcome is Outcome.CANCELLED:
        return CloseDecision(
            Outcome.CANCELLED, counted=False, state=RolloutState.CANCELLED, reason=detail or "cancelled"
        )
    if outcome.gradable:
        return CloseDecision(outcome, counted=True, state=RolloutState.CLOSED, reason=detail)
    if permanent:
        return CloseDecision(outcome, counted=False, state=RolloutState.FAILED, reason=detail)
    if released:
        return CloseDecision(
            outcome, counted=False, state=RolloutState.PLANNED, retry_after=released_pause, reason=detail
        )
    if failures + 1 < max_attempts:
        return CloseDecision(
            outcome, counted=False, state=RolloutState.PLANNED, retry_after=pause * 2**failures, reason=detail
        )
    return CloseDecision(
        outcome, counted=False, state=RolloutState.FAILED, reason=f"given up after {failures + 1} attempts: {detail}"
    )
