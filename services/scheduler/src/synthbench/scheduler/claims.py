"""Claims and heartbeats: the request/reply half of the scheduler."""

from datetime import UTC, datetime, timedelta

import jwt
from pydantic import SecretStr

from synthbench.chassis.failpoints import failpoint
from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, AttemptClaims
from synthbench.contracts.records import Outcome
from synthbench.contracts.rpc import ClaimReply, ClaimRequest, Heartbeat, HeartbeatReply, Release, Released
from synthbench.scheduler.adapters.store import LockedRollout, SchedulerStore, SchedulerTransaction
from synthbench.scheduler.domain.attempts import RolloutState, decide_claim
from synthbench.scheduler.handlers import Handlers
from synthbench.scheduler.measures import QUEUE_SECONDS
from synthbench.scheduler.settings import SchedulerSettings

_GRACE_SECONDS = 900.0
"""Beside the agent's clock: image, verification, our own waits."""


class Claims:
    """Grants attempts and keeps their leases."""

    def __init__(
        self, settings: SchedulerSettings, store: SchedulerStore, handlers: Handlers, secret: SecretStr
    ) -> None:
        self._settings = settings
        self._store = store
        self._handlers = handlers
        self._secret = secret

    async def claim(self, request: ClaimRequest) -> ClaimReply:
        """May this executor run this rollout?"""
        async with self._store.transaction() as transaction:
            locked = await transaction.lock_rollout(request.rollout_id)
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
                await transaction.execute("unready", rollout_id=request.rollout_id)
                return ClaimReply(status="gone", reason=f"paused: {locked.paused}")
            reply = await self._grant(transaction, locked, decision.attempt, request.executor)
        failpoint("scheduler.after_grant")
        await self._handlers.feed()
        return reply

    async def _grant(
        self, transaction: SchedulerTransaction, locked: LockedRollout, attempt: int, executor: str
    ) -> ClaimReply:
        rollout, lease = locked.rollout, self._settings.lease_seconds
        if locked.lease and locked.lease.attempt == attempt:
            rows = await transaction.execute(
                "renew_attempt", rollout_id=rollout.rollout_id, attempt=attempt, lease=lease
            )
        else:
            rows = await transaction.execute(
                "insert_attempt",
                rollout_id=rollout.rollout_id,
                attempt=attempt,
                executor=executor,
                lease=lease,
                seconds=rollout.limits.max_seconds + _GRACE_SECONDS,
            )
            (begun,) = await transaction.execute("rollout_running", rollout_id=rollout.rollout_id, attempt=attempt)
            QUEUE_SECONDS.labels(begun["pool"]).observe(max(0.0, begun["waited"]))
        deadline: datetime = rows[0]["deadline"]
        given_back = await transaction.execute("given_back", rollout_id=rollout.rollout_id)
        return ClaimReply(
            status="granted",
            attempt=attempt,
            rollout=rollout,
            attempt_key=self._key(locked, attempt, deadline),
            lease_seconds=lease,
            deadline=deadline,
            given_back=[row["attempt"] for row in given_back],
        )

    def _key(self, locked: LockedRollout, attempt: int, deadline: datetime) -> SecretStr:
        rollout = locked.rollout
        claims = AttemptClaims(
            submission_id=rollout.submission_id,
            campaign=rollout.campaign,
            rollout_id=rollout.rollout_id,
            attempt=attempt,
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
        return SecretStr(jwt.encode(payload, self._secret.get_secret_value(), ALGORITHM))

    async def heartbeat(self, beat: Heartbeat) -> HeartbeatReply:
        """Keep the lease, or say stop."""
        async with self._store.transaction() as transaction:
            rows = await transaction.execute(
                "heartbeat",
                rollout_id=beat.rollout_id,
                attempt=beat.attempt,
                executor=beat.executor,
                steps=beat.steps,
                lease=self._settings.lease_seconds,
            )
            if rows and rows[0]["state"] == RolloutState.CANCELLED:
                return HeartbeatReply(order="stop", reason="cancelled", cancelled=True)
            if rows:
                return HeartbeatReply(order="go_on")
            return HeartbeatReply(order="stop", reason="the lease is lost")

    async def release(self, wanted: Release) -> Released:
        """A draining executor gives its attempt back; its report, or the end of its lease, closes it."""
        async with self._store.transaction() as transaction:
            rows = await transaction.execute(
                "release_attempt", rollout_id=wanted.rollout_id, attempt=wanted.attempt, executor=wanted.executor
            )
        return Released(released=bool(rows))

    async def reap(self) -> int:
        """Close attempts whose lease ran out, as our failure; return how many."""
        async with self._store.transaction() as transaction:
            expired = await transaction.execute("expired_attempts")
        closed = 0
        for row in expired:
            async with self._store.transaction() as transaction:
                locked = await transaction.lock_rollout(row["rollout_id"])
                if locked is None or locked.lease is None or locked.lease.attempt != row["attempt"]:
                    continue
                if locked.lease.expires_at > datetime.now(UTC):
                    continue  # a heartbeat came in between
                reason = f"executor {row['executor']} was silent for {self._settings.lease_seconds:g} s"
                await self._handlers.close(transaction, locked, Outcome.INFRA_ERROR, reason, None)
                closed += 1
        if closed:
            await self._handlers.feed()
        return closed
