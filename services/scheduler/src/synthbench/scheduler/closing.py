"""Closing attempts: the scheduler alone says how an attempt ended, and whether it counts for its rollout."""

from structlog.stdlib import BoundLogger

from synthbench.contracts.events import AttemptClosed, AttemptFinished
from synthbench.contracts.ids import derived_id
from synthbench.contracts.records import Outcome, Rollout
from synthbench.scheduler.adapters.store import SchedulerTransaction
from synthbench.scheduler.adapters.tables.rollouts import LockedRollout
from synthbench.scheduler.domain.attempts import CloseDecision, RolloutState, decide_close
from synthbench.scheduler.domain.quarantine import set_aside
from synthbench.scheduler.measures import ATTEMPTS
from synthbench.scheduler.settings import SchedulerSettings


class AttemptCloser:
    """Closes attempts within transactions of its callers."""

    def __init__(self, settings: SchedulerSettings, log: BoundLogger) -> None:
        self._settings = settings
        self._log = log

    async def close(
        self,
        transaction: SchedulerTransaction,
        locked: LockedRollout,
        outcome: Outcome,
        detail: str,
        report: AttemptFinished | None,
    ) -> None:
        """Close the open attempt of a locked rollout, and announce it: the last word on it.

        Args:
            transaction: which holds the rollout.
            locked: the rollout, with an open attempt.
            outcome: as it is reported, or `infra_error` for a lease that ran out.
            detail: one line for people.
            report: the executor's; None if there is none.
        """
        assert locked.lease is not None
        rollout, attempt = locked.rollout, locked.lease.attempt
        no_money = bool(report and report.out_of_money)
        permanent = report.permanent if report else ""
        decision = decide_close(
            outcome,
            detail,
            await transaction.attempts.failures_of_rollout(rollout.rollout_id),
            max_attempts=self._settings.max_attempts,
            cancelled=locked.state is RolloutState.CANCELLED,
            pause=self._settings.retry_pause_seconds,
            released=locked.released or bool(locked.paused) or no_money,
            released_pause=self._settings.money_pause_seconds if no_money else 0.0,
            permanent=permanent != "",
        )
        steps = len(report.step_digests) if report else 0
        await transaction.attempts.close(rollout.rollout_id, attempt, decision, steps)
        await transaction.rollouts.settle(rollout.rollout_id, decision)
        await transaction.submissions.finish(rollout.submission_id)
        if decision.outcome is Outcome.INFRA_ERROR and (locked.paused or no_money or permanent):
            await transaction.attempts.excuse(rollout.rollout_id, attempt)  # no failure of the task's
        elif decision.outcome is Outcome.INFRA_ERROR and not locked.released:
            await self._maybe_quarantine(transaction, rollout, decision.reason)
        if permanent == "submission":
            # What waits would fail as this attempt did; what runs already ends by itself.
            await transaction.rollouts.fail_waiting_of_submission(rollout.submission_id)
            await transaction.submissions.finish(rollout.submission_id)
        self._log_end(rollout, attempt, decision)
        closed = AttemptClosed(
            **rollout.attempt_scope(attempt).fields,
            rollout=rollout,
            outcome=decision.outcome,
            counted=decision.counted,
            reason=decision.reason,
            report=report,
            last=decision.last,
        )
        await transaction.announce(closed, derived_id("attempt.closed", rollout.rollout_id, attempt))
        ATTEMPTS.labels(decision.outcome).inc()

    async def _maybe_quarantine(self, transaction: SchedulerTransaction, rollout: Rollout, reason: str) -> None:
        """Set a task aside that only ever fails, before it takes every executor's time."""
        digest = rollout.task.digest
        failures = await transaction.quarantine.failures_of_task(digest)
        if not set_aside(failures, self._settings.quarantine_failures):
            return
        why = f"{failures.failures} failures in a row over {failures.rollouts} rollouts, the last: {reason}"
        if await transaction.quarantine.add(digest, rollout.task.name, why):
            for submission_id in await transaction.rollouts.fail_waiting_of_task(digest):
                await transaction.submissions.finish(submission_id)

    def _log_end(self, rollout: Rollout, attempt: int, decision: CloseDecision) -> None:
        """Write one line for each attempt; our own failures as warnings, those that end their rollout as errors."""
        failed = decision.outcome is Outcome.INFRA_ERROR
        level = "error" if failed and decision.last else "warning" if failed else "info"
        getattr(self._log, level)(
            "attempt closed",
            task=rollout.task.name,
            rollout_id=str(rollout.rollout_id),
            attempt=attempt,
            outcome=str(decision.outcome),
            reason=decision.reason,
            retry_after=decision.retry_after,
        )
