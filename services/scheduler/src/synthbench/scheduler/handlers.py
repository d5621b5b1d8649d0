"""Events in, state and events out. Every handler is idempotent by its natural key."""

from dataclasses import replace
from uuid import UUID

from synthbench.chassis.delivery import Delivery, Malformed
from synthbench.chassis.errors import Drop
from synthbench.contracts.events import (
    AttemptFinished,
    AttemptStarted,
    BudgetExhausted,
    CancelRequested,
    TaskAccepted,
    TaskRejected,
    TaskSubmitted,
    TrajectoryCurated,
)
from synthbench.contracts.ids import derived_id
from synthbench.contracts.loose import as_object
from synthbench.contracts.records import FieldError, TaskInfo
from synthbench.contracts.registry import OPERATOR
from synthbench.scheduler.adapters.catalogue import TaskCatalogue, UnusableTask
from synthbench.scheduler.adapters.overviews import Overviews
from synthbench.scheduler.adapters.parents import Parents
from synthbench.scheduler.adapters.routes import Routes
from synthbench.scheduler.adapters.store import SchedulerStore, SchedulerTransaction
from synthbench.scheduler.closing import AttemptCloser
from synthbench.scheduler.domain.campaigns import campaign_errors, pause_for
from synthbench.scheduler.domain.planning import DeploymentPolicy, Plan, plan
from synthbench.scheduler.feeding import Feeder
from synthbench.scheduler.measures import CURATED


class SchedulerHandlers:
    """The scheduler's reactions to events.

    Args:
        store: its tables.
        overviews: reads which tasks are set aside.
        catalogue: looks up submitted tasks.
        parents: looks up trajectories that submissions fork.
        routes: asks the llm-gateway about routes.
        policy: what the deployment allows.
        closer: closes attempts.
        feeder: puts accepted rollouts onto the ready queues.
    """

    def __init__(
        self,
        store: SchedulerStore,
        overviews: Overviews,
        catalogue: TaskCatalogue,
        parents: Parents,
        routes: Routes,
        policy: DeploymentPolicy,
        closer: AttemptCloser,
        feeder: Feeder,
    ) -> None:
        self._store = store
        self._overviews = overviews
        self._catalogue = catalogue
        self._parents = parents
        self._routes = routes
        self._policy = policy
        self._closer = closer
        self._feeder = feeder

    async def on_submitted(self, delivery: Delivery[TaskSubmitted]) -> None:
        """Accept or reject a submission."""
        submitted, submitter, event_id = delivery.event, delivery.sender, delivery.envelope.id
        submission_id = submitted.submission_id or event_id
        task, planned = await self._plan(submission_id, submitted)
        async with self._store.transaction() as transaction:
            known = await transaction.submissions.submitter_of(submission_id)
            if known is not None and known != submitter:
                await self._refuse_taken(transaction, submission_id, submitter, event_id)
                return
            if submitter != OPERATOR:
                rights = await transaction.campaigns.rights(submitted.campaign, submitter)
                planned = replace(planned, errors=(*planned.errors, *campaign_errors(submitter, submitted, rights)))
            if not await transaction.submissions.add(submission_id, submitter, submitted, task, planned):
                return
            if planned.errors or task is None:
                errors = list(planned.errors)
                rejected = TaskRejected(submission_id=submission_id, submitter=submitter, errors=errors)
                await transaction.announce(rejected, derived_id("task.rejected", submission_id))
            else:
                await self._accept(transaction, submission_id, submitter, submitted, task, planned)
        if not planned.errors:
            await self._feeder.feed()

    async def _plan(self, submission_id: UUID, submitted: TaskSubmitted) -> tuple[TaskInfo | None, Plan]:
        """Plan a submission, or say field by field what is wrong with it."""
        try:
            facts = await self._catalogue.find(submitted.task)
        except UnusableTask as error:
            return None, Plan(errors=(FieldError(field="task", message=str(error)),))
        planned = plan(submission_id, submitted, facts, self._policy)
        errors = [
            *planned.errors,
            *await self.quarantine_errors(facts.info.digest),
            *await self._parents.problems(submitted, facts.info),
        ]
        if not errors and (problem := await self._routes.problem(submitted)):
            errors.append(FieldError(field="route", message=problem))
        return facts.info, Plan(errors=tuple(errors)) if errors else planned

    async def quarantine_errors(self, digest: str) -> list[FieldError]:
        """Say why a task is set aside; nothing if it is not."""
        return [
            FieldError(
                field="task",
                message=f"{row['task_name']} is in quarantine: {row['reason']}; `synth-bench tasks release {digest}`",
            )
            for row in await self._overviews.quarantined(digest)
        ]

    async def _accept(
        self,
        transaction: SchedulerTransaction,
        submission_id: UUID,
        submitter: str,
        submitted: TaskSubmitted,
        task: TaskInfo,
        planned: Plan,
    ) -> None:
        if submitted.campaign_cost_microusd is not None:
            await transaction.campaigns.set_cap(submitted.campaign, submitted.campaign_cost_microusd, submitter)
        await transaction.rollouts.add(planned.rollouts)
        accepted = TaskAccepted(
            submission_id=submission_id,
            submitter=submitter,
            campaign=submitted.campaign,
            task=task,
            rollout_ids=[rollout.rollout_id for rollout in planned.rollouts],
            pool=planned.pool,
            simulated=planned.rollouts[0].simulated,
        )
        await transaction.announce(accepted, derived_id("task.accepted", submission_id))

    async def _refuse_taken(
        self, transaction: SchedulerTransaction, submission_id: UUID, submitter: str, event_id: UUID
    ) -> None:
        """The answer does not bear the id of what somebody else submitted: nobody may take it for one about that."""
        why = f"{submission_id} is another submitter's; leave it out, or take a random one"
        own = derived_id("submission", submitter, event_id)
        errors = [FieldError(field="submission_id", message=why)]
        rejected = TaskRejected(submission_id=own, submitter=submitter, errors=errors)
        await transaction.announce(rejected, derived_id("task.rejected", own))

    async def on_malformed_submission(self, malformed: Malformed) -> None:
        """Tell the submitter, field by field, beside the dead letter that the chassis makes of it."""
        submission_id = _named_submission(malformed.content)
        async with self._store.transaction() as transaction:
            if submission_id is None or await transaction.submissions.submitter_of(submission_id) is not None:
                submission_id = derived_id("submission", malformed.sender, malformed.event_id)
            rejected = TaskRejected(
                submission_id=submission_id, submitter=malformed.sender, errors=malformed.error.errors
            )
            event_id = derived_id("task.rejected", submission_id, malformed.sender, malformed.event_id)
            await transaction.announce(rejected, event_id)

    async def on_cancel(self, delivery: Delivery[CancelRequested]) -> None:
        """Cancel what waits; what runs hears of it at its next heartbeat. Others' work is left alone."""
        request, sender = delivery.event, delivery.sender
        async with self._store.transaction() as transaction:
            cancelled = await transaction.rollouts.cancel(request, None if sender == OPERATOR else sender)
            for submission_id in cancelled:
                await transaction.submissions.finish(submission_id)
        if not cancelled:
            raise Drop(f"{sender} has nothing under way that this would cancel: {request.to_dict()}")

    async def on_started(self, delivery: Delivery[AttemptStarted]) -> None:
        """Note when the agent began."""
        event = delivery.event
        async with self._store.transaction() as transaction:
            await transaction.attempts.note_start(event.rollout_id, event.attempt, event.started_at)

    async def on_finished(self, delivery: Delivery[AttemptFinished]) -> None:
        """Close the attempt that reports. A report on a closed attempt changes nothing: the collector keeps it."""
        report = delivery.event
        async with self._store.transaction() as transaction:
            locked = await transaction.rollouts.lock(report.rollout_id)
            if locked is None or locked.lease is None or locked.lease.attempt != report.attempt:
                return
            await self._closer.close(transaction, locked, report.outcome, report.detail, report)
        await self._feeder.feed()

    async def on_curated(self, delivery: Delivery[TrajectoryCurated]) -> None:
        """The rollout has reached the end of the road."""
        event = delivery.event
        async with self._store.transaction() as transaction:
            submission_id = await transaction.rollouts.mark_curated(event.rollout_id)
            if submission_id is not None:
                CURATED.labels(event.verdict, event.status).inc()
                await transaction.submissions.finish(submission_id)

    async def on_exhausted(self, delivery: Delivery[BudgetExhausted]) -> None:
        """Pause what a used-up budget pays for.

        A message about an earlier setting of a campaign's cap, or from before somebody resumed it, changes nothing.
        """
        async with self._store.transaction() as transaction:
            await transaction.campaigns.pause(pause_for(delivery.event), delivery.envelope.time)


def _named_submission(content: object) -> UUID | None:
    """The id that a malformed submission names, if it is one."""
    try:
        return UUID(str(as_object(content).get("submission_id")))
    except ValueError:
        return None
