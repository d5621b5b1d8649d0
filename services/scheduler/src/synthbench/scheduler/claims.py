"""Claims and heartbeats: the request/reply half of the scheduler."""

from datetime import UTC, datetime, timedelta

import jwt
from pydantic import SecretStr

from synthbench.chassis.failpoints import failpoint
from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, AttemptClaims
from synthbench.contracts.records import Outcome
from synthbench.contracts.rpc import ClaimReply, ClaimRequest, Heartbeat, HeartbeatReply, Release, Released
from synthbench.scheduler.adapters.store import SchedulerStore, SchedulerTransaction
from synthbench.scheduler.adapters.tables.rollouts import LockedRollout
from synthbench.scheduler.closing import AttemptCloser
from synthbench.scheduler.domain.attempts import RolloutState, decide_claim
from synthbench.scheduler.feeding import Feeder
from synthbench.scheduler.measures import QUEUE_SECONDS
from synthbench.scheduler.settings import SchedulerSettings

_GRACE_SECONDS = 900.0
"""Seconds that an attempt may take beside the agent's clock: for its image, its verification and our own waits."""


class Claims:
    """Grants attempts and keeps their leases."""

    def __init__(
        self,
        settings: SchedulerSettings,
        store: SchedulerStore,
        closer: AttemptCloser,
        feeder: Feeder,
        secret: SecretStr,
    ) -> None:
        self._settings = settings
        self._store = store
        self._closer = closer
        self._feeder = feeder
        self._secret = secret

    async def claim(self, request: ClaimRequest) -> ClaimReply:
        """Answer whether this executor may run this rollout."""
        async with self._store.transaction() as transaction:
            locked = await transaction.rollouts.lock(request.rollout_id)
            if locked is None:
                return ClaimReply(status="gone", reason="no such rollout")
            decision = decide_claim(
                locked.state,
                locked.attempts,
                locked.lease,
                request.executor,
                datetime.now(UTC),
                started=locked.lease_started,
            )
            if decision.status != "granted":
                status = "busy" if decision.status == "busy" else "gone"
                return ClaimReply(status=status, reason=decision.reason, retry_after=decision.retry_after)
            if locked.paused and locked.lease is None:
                await transaction.rollouts.put_back(request.rollout_id)
                return ClaimReply(status="gone", reason=f"paused: {locked.paused}")
            reply = await self._grant(transaction, locked, decision.attempt, request.executor)
        failpoint("scheduler.after_grant")
        await self._feeder.feed()
        return reply

    async def _grant(
        self, transaction: SchedulerTransaction, locked: LockedRollout, attempt: int, executor: str
    ) -> ClaimReply:
        rollout, lease = locked.rollout, self._settings.lease_seconds
        attempts = transaction.attempts
        if locked.lease and locked.lease.attempt == attempt:
            deadline = await attempts.renew(rollout.rollout_id, attempt, lease)
        else:
            seconds = rollout.limits.max_seconds + _GRACE_SECONDS
            deadline = await attempts.add(rollout.rollout_id, attempt, executor, lease=lease, seconds=seconds)
            pool, waited = await transaction.rollouts.mark_running(rollout.rollout_id, attempt)
            QUEUE_SECONDS.labels(pool).observe(waited)
        return ClaimReply(
            status="granted",
            attempt=attempt,
            rollout=rollout,
            attempt_key=self._key(locked, attempt, deadline),
            lease_seconds=lease,
            deadline=deadline,
            given_back=await attempts.given_back(rollout.rollout_id),
        )

    def _key(self, locked: LockedRollout, attempt: int, deadline: datetime) -> SecretStr:
        rollout = locked.rollout
        claims = AttemptClaims(
            **rollout.attempt_scope(attempt).fields,
            route=rollout.route,
            task_digest=rollout.task.digest,
            seed=rollout.seed,
            max_cost_microusd=rollout.limits.max_cost_microusd,
            submission_cost_microusd=locked.submission_cost_microusd,
            allow_unknown_price=rollout.allow_unknown_price,
            sampling=rollout.sampling,
            category=rollout.task.category,
            difficulty=rollout.task.difficulty,
            campaign_cost_microusd=locked.campaign_cost_microusd,
            campaign_epoch=locked.campaign_epoch,
        )
        payload = {
            **claims.to_dict(),
            "aud": AUDIENCE,
            "iat": datetime.now(UTC) - timedelta(seconds=5),
            "exp": deadline,
        }
        return SecretStr(jwt.encode(payload, self._secret.get_secret_value(), ALGORITHM))  # pyright: ignore[reportUnknownMemberType] - PyJWT's own type is incomplete

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        """Keep the lease, or say stop."""
        async with self._store.transaction() as transaction:
            state = await transaction.attempts.heartbeat(beat, self._settings.lease_seconds)
        if state is None:
            return HeartbeatReply(order="stop", reason="the lease is lost")
        if state is RolloutState.CANCELLED:
            return HeartbeatReply(order="stop", reason="cancelled", cancelled=True)
        return HeartbeatReply(order="go_on")

    async def release(self, request: Release) -> Released:
        """A draining executor gives its attempt back; its report, or the end of its lease, closes it."""
        async with self._store.transaction() as transaction:
            return Released(released=await transaction.attempts.release(request))

    async def reap(self) -> int:
        """Close attempts whose lease ran out, as our failure; return how many."""
        async with self._store.transaction() as transaction:
            expired = await transaction.attempts.expired()
        closed = 0
        for open_attempt in expired:
            async with self._store.transaction() as transaction:
                locked = await transaction.rollouts.lock(open_attempt.rollout_id)
                if locked is None or locked.lease is None or locked.lease.attempt != open_attempt.attempt:
                    continue
                if locked.lease.expires_at > datetime.now(UTC):
                    continue  # a heartbeat came in between
                reason = f"executor {open_attempt.executor} was silent for {self._settings.lease_seconds:g} s"
                await self._closer.close(transaction, locked, Outcome.INFRA_ERROR, reason, None)
                closed += 1
        if closed:
            await self._feeder.feed()
        return closed
