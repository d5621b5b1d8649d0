"""The lease on one attempt: renewed by heartbeats while it runs, and released when this process shuts down."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from synthbench.chassis.errors import BusUnavailable, RequestRefused
from synthbench.contracts.rpc import HEARTBEAT, RELEASE, ClaimReply, Heartbeat, HeartbeatReply, Release, Released
from synthbench.executor.attempt.services import AttemptServices
from synthbench.executor.domain.endings import Stopped

_HEARTBEATS_PER_LEASE = 3
_RELEASE_SECONDS = 3.0


class LeaseKeeper:
    """Keeps the scheduler's lease on one granted attempt.

    Args:
        services: has the bus.
        grant: the scheduler's answer to the claim; it holds the rollout.
    """

    def __init__(self, services: AttemptServices, grant: ClaimReply) -> None:
        assert grant.rollout is not None
        self._services = services
        self._rollout_id = grant.rollout.rollout_id
        self._attempt = grant.attempt
        self._seconds = grant.lease_seconds

    async def keep(self, steps: Callable[[], int]) -> None:
        """Send heartbeats until the scheduler orders a stop, or until the lease must have run out.

        Args:
            steps: returns how many steps the attempt has taken so far.

        Raises:
            Stopped: the scheduler ordered it, or no heartbeat went through for the length of the lease.
        """
        loop = asyncio.get_running_loop()
        last_reply, pause = loop.time(), self._seconds / _HEARTBEATS_PER_LEASE
        heartbeat = Heartbeat(rollout_id=self._rollout_id, attempt=self._attempt, executor=self._services.executor)
        while True:
            await asyncio.sleep(pause)
            try:
                current = heartbeat.model_copy(update={"steps": steps()})
                reply = await self._services.bus.request(HEARTBEAT, current, HeartbeatReply, timeout=pause)
            except (BusUnavailable, RequestRefused) as error:
                if loop.time() - last_reply > self._seconds:
                    reason = f"no heartbeat went through for {self._seconds:g} s: {error}"
                    raise Stopped(reason, cancelled=False) from error
                continue
            last_reply = loop.time()
            if reply.order == "stop":
                raise Stopped(reply.reason, cancelled=reply.cancelled)

    async def release(self) -> None:
        """Give the rollout back, so that its next attempt begins at once and this one counts as no failure."""
        release = Release(rollout_id=self._rollout_id, attempt=self._attempt, executor=self._services.executor)
        with suppress(RequestRefused):
            await self._services.bus.request(RELEASE, release, Released, timeout=_RELEASE_SECONDS)
