"""Events in, state and events out. Every handler is idempotent by its natural key."""

from uuid import UUID

from structlog.stdlib import BoundLogger

from synthbench.chassis.consumer import Delivery
from synthbench.chassis.delivery import Malformed
from synthbench.chassis.errors import Drop
from synthbench.chassis.telemetry import current_trace, span
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptFinished,
    AttemptStarted,
    CancelRequested,
    TaskReady,
    TaskRejected,
    TaskSubmitted,
    TrajectoryCurated,
)
from synthbench.contracts.ids import derived_id
from synthbench.contracts.loose import as_object
from synthbench.contracts.records import FieldError, Outcome, Rollout
from synthbench.contracts.registry import OPERATOR
from synthbench.scheduler.adapters.catalogue import TaskCatalogue, UnknownTask
from synthbench.scheduler.adapters.parents import Parents
from synthbench.scheduler.adapters.routes import Routes
from synthbench.scheduler.adapters.store import LockedRollout, SchedulerStore, SchedulerTransaction, accepted
from synthbench.scheduler.domain.attempts import CloseDecision, RolloutState, decide_close
from synthbench.scheduler.domain.planning import Plan, Policy, plan
from synthbench.scheduler.domain.quarantine import TaskFailures, set_aside
from synthbench.scheduler.measures import ATTEMPTS, CURATED
from synthbench.scheduler.settings import SchedulerSettings


class Handlers:
    """The scheduler's reactions to events."""

    def __init__(
        self,
        settings: SchedulerSettings,
        store: SchedulerStore,
        catalogue: TaskCatalogue,
        parents: Parents,
        policy: Policy,
        log: BoundLogger,
        routes: Routes | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._catalogue = catalogue
        self._policy = policy
        self._parents = parents
        self._routes = routes or Routes(None, None)
        self._log = log

    async def on_submitted(self, delivery: Delivery) -> None:
        """Accept or reject a submission."""
        wanted = delivery.envelope.body
        assert isinstance(wanted, TaskSubmitted)
        submitter, event_id = delivery.sender, delivery.envelope.id
        submission_id = wanted.submission_id or event_id
        task = None
        try:
            facts = await self._catalogue.find(wanted.task)
            planned, task = plan(submission_id, wanted, facts, self._policy), facts.info
            planned = await self._unless_quarantined(facts.info.digest, planned)
            if problems := await self._parents.problems(wanted, facts.info):
                planned = Plan(errors=(*planned.errors, *problems))
            if not planned.errors and (problem := await self._routes.problem(wanted)):
                planned = Plan(errors=(FieldError(field="route", message=problem),))
        except UnknownTask as error:
            planned = Plan(errors=(FieldError(field="task", message=str(error)),))
        async with self._store.transaction() as transaction:
            known = await transaction.submitter_of(submission_id)
            if known is not None and known != submitter:
                await self._refuse_taken(transaction, submission_id, submitter, event_id)
                return
            planned = await transaction.within_rights(submitter, wanted, planned)
            if not await transaction.add_submission(submission_id, submitter, wanted, task, planned):
                return
            if planned.errors or task is None:
                errors = list(planned.errors)
                rejected = TaskRejected(submission_id=submission_id, submitter=submitter, errors=errors)
                await transaction.announce(rejected, id=derived_id("task.rejected", submission_id))
            else:
                event = accepted(submission_id, submitter, wanted, task, planned)
                await transaction.announce(event, id=derived_id("task.accepted", submission_id))
        if not planned.errors:
            await self.feed()

    async def _unless_quarantined(self, digest: str, planned: Plan) -> Plan:
        rows = await self._store.rows("quarantined", digest=digest)
        if not rows:
            return planned
        why = f"{rows[0]['task_name']} is in quarantine: {rows[0]['reason']}; `synth-bench tasks release {digest}`"
        return Plan(errors=(*planned.errors, FieldError(field="task", message=why)))

    async def _refuse_taken(
        self, transaction: SchedulerTransaction, submission_id: UUID, submitter: str, event_id: UUID
    ) -> None:
        """The answer does not bear the id of what somebody else submitted: nobody may take it for one about that."""
        why = f"{submission_id} is another submitter's; leave it out, or take a random one"
        own = derived_id("submission", submitter, event_id)
        errors = [FieldError(field="submission_id", message=why)]
        rejected = TaskRejected(submission_id=own, submitter=submitter, errors=errors)
        await transaction.announce(rejected, id=derived_id("task.rejected", own))

    async def on_malformed_submission(self, malformed: Malformed) -> None:
        """Tell the submitter, field by field, beside the dead letter that the chassis makes of it."""
        submission_id = _named_submission(malformed.content)
        async with self._store.transaction() as transaction:
            if submission_id is None or await transaction.submitter_of(submission_id) is not None:
                submission_id = derived_id("submission", malformed.sender, malformed.event_id)
            rejected = TaskRejected(
                submission_id=submission_id, submitter=malformed.sender, errors=malformed.error.errors
            )
            identity = derived_id("task.rejected", submission_id, malformed.sender, malformed.event_id)
            await transaction.announce(rejected, id=identity)

    async def on_cancel(self, delivery: Delivery) -> None:
        """Cancel what waits; what runs hears of it at its next heartbeat. Others' work is left alone."""
        wanted = delivery.envelope.body
        assert isinstance(wanted, CancelRequested)
        sender = delivery.sender
        async with self._store.transaction() as transaction:
            rows = await transaction.execute(
                "cancel_rollouts",
                rollout_id=wanted.rollout_id,
                submission_id=wanted.submission_id,
                campaign=wanted.campaign,
                submitter=None if sender == OPERATOR else sender,
            )
            for submission_id in sorted({row["submission_id"] for row in rows}):
                await transaction.finish_submission(submission_id)
        if not rows:
            raise Drop(f"{sender} has nothing under way that this would cancel: {wanted.to_dict()}")

    async def on_started(self, delivery: Delivery) -> None:
        """Note when the agent began."""
        body = delivery.envelope.body
        assert isinstance(body, AttemptStarted)
        async with self._store.transaction() as transaction:
            await transaction.execute(
                "attempt_started", rollout_id=body.rollout_id, attempt=body.attempt, started_at=body.started_at
            )

    async def on_finished(self, delivery: Delivery) -> None:
        """Close the attempt that reports. A report on a closed attempt changes nothing: the collector keeps it."""
        report = delivery.envelope.body
        assert isinstance(report, AttemptFinished)
        async with self._store.transaction() as transaction:
            locked = await transaction.lock_rollout(report.rollout_id)
            if locked is None or locked.lease is None or locked.lease.attempt != report.attempt:
                return
            await self.close(transaction, locked, report.outcome, report.detail, report)
        await self.feed()

    async def on_curated(self, delivery: Delivery) -> None:
        """The rollout has reached the end of the road."""
        body = delivery.envelope.body
        assert isinstance(body, TrajectoryCurated)
        async with self._store.transaction() as transaction:
            for row in await transaction.execute("curated", rollout_id=body.rollout_id):
                CURATED.labels(body.verdict, body.status).inc()
                await transaction.finish_submission(row["submission_id"])

    async def close(
        self,
        transaction: SchedulerTransaction,
        locked: LockedRollout,
        outcome: Outcome,
        detail: str,
        report: AttemptFinished | None,
    ) -> None:
        """Close the open attempt of a locked rollout, and announce it: the last word on it."""
        assert locked.lease is not None
        rollout, attempt = locked.rollout, locked.lease.attempt
        no_money = bool(report and report.out_of_money)
        permanent = report.permanent if report else ""
        earlier = await transaction.execute("failures_of_rollout", rollout_id=rollout.rollout_id)
        decision = decide_close(
            outcome,
            detail,
            earlier[0]["failures"],
            max_attempts=self._settings.max_attempts,
            cancelled=locked.state is RolloutState.CANCELLED,
            pause=self._settings.retry_pause_seconds,
            released=locked.released or bool(locked.paused) or no_money,
            released_pause=self._settings.money_pause_seconds if no_money else 0.0,
            permanent=permanent != "",
        )
        await self._apply(transaction, rollout, attempt, decision, steps=len(report.step_digests) if report else 0)
        if decision.outcome is Outcome.INFRA_ERROR and (
            locked.paused or no_money or permanent
        ):  # no failure of the task's
            await transaction.execute("excuse_attempt", rollout_id=rollout.rollout_id, attempt=attempt)
        elif decision.outcome is Outcome.INFRA_ERROR and not locked.released:
            await self._maybe_quarantine(transaction, rollout, decision.reason)
        if permanent == "submission":
            await self._stop_submission(transaction, rollout.submission_id)
        self._tell(rollout, attempt, decision)
        closed = AttemptClosed(
            submission_id=rollout.submission_id,
            campaign=rollout.campaign,
            rollout_id=rollout.rollout_id,
            attempt=attempt,
            rollout=rollout,
            outcome=decision.outcome,
            counted=decision.counted,
            reason=decision.reason,
            report=report,
            last=decision.last,
        )
        await transaction.announce(closed, id=derived_id("attempt.closed", rollout.rollout_id, attempt))
        ATTEMPTS.labels(decision.outcome).inc()

    async def _stop_submission(self, transaction: SchedulerTransaction, submission_id: UUID) -> None:
        """What waits of it would fail as its first attempt did; what runs already ends by itself."""
        await transaction.execute("fail_waiting_of_submission", submission_id=submission_id)
        await transaction.finish_submission(submission_id)

    def _tell(self, rollout: Rollout, attempt: int, decision: CloseDecision) -> None:
        """One line for each attempt; our own failures as warnings, those that end their rollout as errors."""
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

    async def _maybe_quarantine(self, transaction: SchedulerTransaction, rollout: Rollout, reason: str) -> None:
        """Set a task aside that only ever fails, before it takes every executor's time."""
        digest = rollout.task.digest
        found = (await transaction.execute("failures_of_task", digest=digest))[0]
        if not set_aside(TaskFailures(**found), self._settings.quarantine_failures):
            return
        why = f"{found['failures']} failures in a row over {found['rollouts']} rollouts, the last: {reason}"
        if await transaction.execute("quarantine", digest=digest, name=rollout.task.name, reason=why):
            rows = await transaction.execute("fail_waiting_of_task", digest=digest)
            for submission_id in sorted({row["submission_id"] for row in rows}):
                await transaction.finish_submission(submission_id)

    async def reconcile(self) -> int:
        """Announce again what is overdue; whoever answered long ago will answer again. Return how much was."""
        settings = self._settings
        async with self._store.transaction() as transaction:
            ready = await transaction.execute("overdue_ready", seconds=settings.ready_overdue_seconds)
            closed = await transaction.execute("overdue_closed", seconds=settings.closed_overdue_seconds)
            for row in closed:
                await transaction.announce_again(derived_id("attempt.closed", row["rollout_id"], row["attempt"]))
                await transaction.execute("touch_rollout", rollout_id=row["rollout_id"])
        return len(ready) + len(closed)

    async def _apply(
        self, transaction: SchedulerTransaction, rollout: Rollout, attempt: int, decision: CloseDecision, *, steps: int
    ) -> None:
        await transaction.execute(
            "close_attempt",
            rollout_id=rollout.rollout_id,
            attempt=attempt,
            outcome=decision.outcome,
            counted=decision.counted,
            reason=decision.reason,
            steps=steps,
        )
        await transaction.execute(
            "settle_rollout",
            rollout_id=rollout.rollout_id,
            state=decision.state,
            retry_after=decision.retry_after or 0.0,
        )
        await transaction.finish_submission(rollout.submission_id)

    async def feed(self) -> int:
        """Move what may run now from Postgres onto the ready queues, up to their bound; return how many."""
        moved = 0
        async with self._store.transaction() as transaction:
            if not (await transaction.execute("feeder_lock"))[0]["mine"]:
                return 0  # another replica is at it
            declared = self._settings.declared_pools
            waiting = [row["pool"] for row in await transaction.execute("pools_waiting") if row["pool"] in declared]
            if not waiting:
                return 0
            ready = {row["pool"]: row["ready"] for row in await transaction.execute("count_ready")}
            for pool in waiting:
                room = self._settings.ready_limit - ready.get(pool, 0)
                if room > 0:
                    for row in await transaction.execute("take_planned", pool=pool, limit=room):
                        await self._make_ready(transaction, Rollout.model_validate(row["body"]), row["ready_count"])
                        moved += 1
        return moved

    async def _make_ready(self, transaction: SchedulerTransaction, rollout: Rollout, count: int) -> None:
        """One trace follows one attempt: it starts here."""
        here = current_trace()
        with span(f"rollout {rollout.scaffold}", root=True, links=(here,) if here else ()) as opened:
            opened.set_attribute("synthbench.rollout_id", str(rollout.rollout_id))
            opened.set_attribute("synthbench.task", rollout.task.name)
            body = TaskReady(
                submission_id=rollout.submission_id,
                campaign=rollout.campaign,
                rollout_id=rollout.rollout_id,
                rollout=rollout,
            )
            await transaction.announce(
                body, id=derived_id("task.ready", rollout.rollout_id, count), trace=current_trace()
            )


def _named_submission(content: object) -> UUID | None:
    """The id that a malformed submission names, if it is one."""
    try:
        return UUID(str(as_object(content).get("submission_id")))
    except ValueError:
        return None
