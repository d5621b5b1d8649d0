"""A stored trajectory comes in, a second verification goes out; its answer comes in, scores and verdict go out."""

from collections.abc import Sequence
from uuid import UUID

from psycopg.types.json import Jsonb

from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Drop, Poison
from synthbench.chassis.failpoints import failpoint
from synthbench.chassis.outbox import Outbox
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
from synthbench.quality.domain.checks import Check, Evidence
from synthbench.quality.domain.policy import Policy, decide
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.database import Connection, Database
from synthbench.storage.errors import ArtifactCorrupt
from synthbench.storage.queries import Queries
from synthbench.storage.trajectories import read_trajectory

SQL = Queries.load("synthbench.quality.adapters")
ASKER = "quality"


class Handlers:
    """Quality's reactions to events."""

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        outbox: Outbox,
        checks: Sequence[Check],
        policy: Policy,
        *,
        max_verifications: int,
        pools: Sequence[str] = DEFAULT_POOLS,
    ) -> None:
        self._database = database
        self._store = store
        self._outbox = outbox
        self._checks = checks
        self._policy = policy
        self._max_verifications = max_verifications
        self._pools = pools

    async def on_done(self, delivery: Delivery) -> None:
        """Ask for a second verification."""
        done = delivery.envelope.body
        assert isinstance(done, TrajectoryDone)
        in_place = done.summary.forgeable and await self._ran_in_place(done)  # read before the transaction begins
        async with self._database.transaction() as connection:
            values = {"trajectory_id": done.trajectory_id, "body": Jsonb(done.to_dict())}
            if await (await connection.execute(SQL["add_scoring"], values)).fetchone():
                if in_place:
                    await self._score(connection, done, None)
                else:
                    await self._ask(connection, done, number=1)
            else:
                await self._answer_again(connection, done)

    async def _ran_in_place(self, done: TrajectoryDone) -> bool:
        """Whether nobody can verify it a second time: the tests needed what ran in the agent's own sandbox."""
        verification = (await self._read(done)).verification
        return verification is not None and verification.in_place

    async def _answer_again(self, connection: Connection, done: TrajectoryDone) -> None:
        """Somebody asks a second time, long after: what we said then, or wanted to know, was lost."""
        locked = await connection.execute(SQL["lock_scoring"], {"trajectory_id": done.trajectory_id})
        scoring = await locked.fetchone()
        if scoring is not None and scoring["state"] == "scored":
            await self._outbox.again(connection, derived_id("scored", done.trajectory_id, self._policy.name))
            return
        asked = await connection.execute(SQL["verifications_of"], {"trajectory_id": done.trajectory_id})
        for row in await asked.fetchall():
            await self._outbox.again(connection, derived_id("verification.requested", row["verification_id"]))

    async def _ask(self, connection: Connection, done: TrajectoryDone, number: int) -> None:
        verification_id = derived_id("verification", ASKER, done.trajectory_id, *([number] if number > 1 else []))
        ids = {"verification_id": verification_id, "trajectory_id": done.trajectory_id}
        await connection.execute(SQL["add_verification"], ids)
        if done.pool not in self._pools:
            raise Poison(f"trajectory {done.trajectory_id} names the pool {done.pool!r}, which nobody can serve")
        request = VerificationRequested(
            submission_id=done.submission_id,
            campaign=done.campaign,
            rollout_id=done.rollout_id,
            attempt=done.attempt,
            verification_id=verification_id,
            requested_by=ASKER,
            pool=done.pool,
            task_digest=done.summary.task_digest,
            diff=done.diff,
        )
        await self._outbox.add(connection, request, id=derived_id("verification.requested", verification_id))

    async def on_verified(self, delivery: Delivery) -> None:
        """Score, once the second verdict is there; ask again, within reason, where there is none."""
        finished = delivery.envelope.body
        assert isinstance(finished, VerificationFinished)
        if finished.requested_by != ASKER:
            return
        async with self._database.transaction() as connection:
            known = await connection.execute(
                SQL["trajectory_of_verification"], {"verification_id": finished.verification_id}
            )
            row = await known.fetchone()
            if row is None:
                raise Drop(f"verification {finished.verification_id} was not asked for here")
            trajectory_id: UUID = row["trajectory_id"]
            locked = await connection.execute(SQL["lock_scoring"], {"trajectory_id": trajectory_id})
            scoring = await locked.fetchone()
            if scoring is None or scoring["state"] == "scored":
                return
            done = TrajectoryDone.model_validate(scoring["body"])
            if finished.result.error is not None and scoring["tries"] < self._max_verifications:
                await connection.execute(SQL["count_try"], {"trajectory_id": trajectory_id})
                await self._ask(connection, done, number=scoring["tries"] + 1)
                return
            await self._score(connection, done, finished.result)

    async def _score(self, connection: Connection, done: TrajectoryDone, second: VerificationResult | None) -> None:
        evidence = Evidence(await self._read(done), second)
        scores = [check.run(evidence) for check in self._checks]
        decision = decide(self._policy, scores, forgeable=done.summary.forgeable)
        scored = TrajectoryScored(
            submission_id=done.submission_id,
            campaign=done.campaign,
            rollout_id=done.rollout_id,
            attempt=done.attempt,
            trajectory_id=done.trajectory_id,
            artifact=done.artifact,
            summary=done.summary,
            scores=scores,
            aggregate=decision.aggregate,
            verdict=decision.verdict,
            policy=self._policy.name,
        )
        failpoint("quality.decided")
        values = {"trajectory_id": done.trajectory_id, "scored": Jsonb(scored.to_dict())}
        await connection.execute(SQL["finish_scoring"], values)
        await self._outbox.add(connection, scored, id=derived_id("scored", done.trajectory_id, self._policy.name))

    async def _read(self, done: TrajectoryDone) -> Trajectory:
        try:
            return await read_trajectory(self._store, done.artifact.uri)
        except ArtifactCorrupt as error:
            raise Poison(f"trajectory {done.trajectory_id} cannot be read: {error}") from error
