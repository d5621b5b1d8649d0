"""A stored trajectory comes in, a second verification goes out; its answer comes in, scores and verdict go out."""

from collections.abc import Sequence

from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Drop, Poison
from synthbench.chassis.failpoints import failpoint
from synthbench.contracts.events import (
    TrajectoryDone,
    TrajectoryScored,
    VerificationFinished,
    VerificationRequested,
)
from synthbench.contracts.ids import derived_id
from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import VerificationResult
from synthbench.quality.adapters.store import QualityStore, QualityTransaction
from synthbench.quality.domain.check import Check, CheckInput, CheckRun
from synthbench.quality.domain.policy import QualityPolicy, decide
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt
from synthbench.storage.trajectories import read_trajectory

ASKER = "quality"


class QualityHandlers:
    """Quality's reactions to events.

    Args:
        store: quality's tables.
        artifacts: where trajectories are stored.
        checks: those that are run on each trajectory.
        policy: makes a verdict of their scores.
        max_verifications: tries of the second verification, when ours fail.
        pools: those that have executors in this deployment.
    """

    def __init__(
        self,
        store: QualityStore,
        artifacts: ArtifactStore,
        checks: Sequence[Check],
        policy: QualityPolicy,
        *,
        max_verifications: int,
        pools: Sequence[str] = DEFAULT_POOLS,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._checks = checks
        self._policy = policy
        self._max_verifications = max_verifications
        self._pools = pools

    async def on_done(self, delivery: Delivery[TrajectoryDone]) -> None:
        """Ask for a second verification, or score at once where nobody can verify a second time."""
        done = delivery.event
        scored = await self._scored_in_place(done)  # reads the trajectory before the transaction begins
        async with self._store.transaction() as transaction:
            if not await transaction.add_scoring(done):
                await self._answer_again(transaction, done)
            elif scored is not None:
                await self._finish(transaction, scored)
            else:
                await self._ask(transaction, done, number=1)

    async def _scored_in_place(self, done: TrajectoryDone) -> TrajectoryScored | None:
        """Score a trajectory whose tests needed what ran in the agent's own sandbox; None for any other."""
        if not done.summary.forgeable:
            return None
        trajectory = await self._read(done)
        in_place = trajectory.verification is not None and trajectory.verification.in_place
        return self._score(done, trajectory, None) if in_place else None

    async def _answer_again(self, transaction: QualityTransaction, done: TrajectoryDone) -> None:
        """Somebody asks a second time, long after: our verdict, or our request for a verification, was lost."""
        scoring = await transaction.lock_scoring(done.trajectory_id)
        if scoring is not None and scoring.scored:
            await transaction.announce_again(derived_id("scored", done.trajectory_id, self._policy.name))
            return
        for verification_id in await transaction.verifications_of(done.trajectory_id):
            await transaction.announce_again(derived_id("verification.requested", verification_id))

    async def _ask(self, transaction: QualityTransaction, done: TrajectoryDone, number: int) -> None:
        """Ask executors for the verification with this number, counted from 1."""
        verification_id = derived_id("verification", ASKER, done.trajectory_id, *([number] if number > 1 else []))
        await transaction.add_verification(verification_id, done.trajectory_id)
        if done.pool not in self._pools:
            raise Poison(f"trajectory {done.trajectory_id} names the pool {done.pool!r}, which nobody can serve")
        request = VerificationRequested(
            **done.attempt_scope.fields,
            verification_id=verification_id,
            requested_by=ASKER,
            pool=done.pool,
            task_digest=done.summary.task_digest,
            diff=done.diff,
        )
        await transaction.announce(request, derived_id("verification.requested", verification_id))

    async def on_verified(self, delivery: Delivery[VerificationFinished]) -> None:
        """Score, once the second verification is there; ask again, within reason, where it failed by our doing."""
        finished = delivery.event
        if finished.requested_by != ASKER:
            return
        known = await self._store.scoring_of_verification(finished.verification_id)
        if known is None:
            raise Drop(f"verification {finished.verification_id} was not asked for here")
        if known.scored:
            return
        done = known.done
        scored = self._score(done, await self._read(done), finished.result)
        async with self._store.transaction() as transaction:
            scoring = await transaction.lock_scoring(done.trajectory_id)
            if scoring is None or scoring.scored:
                return
            if finished.result.error is not None and scoring.tries < self._max_verifications:
                await transaction.count_try(done.trajectory_id)
                await self._ask(transaction, done, number=scoring.tries + 1)
            else:
                await self._finish(transaction, scored)

    def _score(
        self, done: TrajectoryDone, trajectory: Trajectory, second: VerificationResult | None
    ) -> TrajectoryScored:
        given = CheckInput(trajectory, second)
        runs = [CheckRun(check, check.run(given)) for check in self._checks]
        decision = decide(self._policy, runs, forgeable=done.summary.forgeable)
        return TrajectoryScored(
            **done.attempt_scope.fields,
            trajectory_id=done.trajectory_id,
            artifact=done.artifact,
            summary=done.summary,
            scores=[run.as_score for run in runs],
            aggregate=decision.aggregate,
            verdict=decision.verdict,
            policy=self._policy.name,
        )

    async def _finish(self, transaction: QualityTransaction, scored: TrajectoryScored) -> None:
        failpoint("quality.decided")
        await transaction.finish_scoring(scored)
        await transaction.announce(scored, derived_id("scored", scored.trajectory_id, self._policy.name))

    async def _read(self, done: TrajectoryDone) -> Trajectory:
        try:
            return await read_trajectory(self._artifacts, done.artifact.uri)
        except ArtifactCorrupt as error:
            raise Poison(f"trajectory {done.trajectory_id} cannot be read: {error}") from error
