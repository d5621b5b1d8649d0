"""Feeding the ready queues: rollouts wait in Postgres, and go onto the bus only as fast as executors take them."""

from synthbench.chassis.telemetry import current_trace, span
from synthbench.contracts.events import TaskReady
from synthbench.contracts.ids import derived_id
from synthbench.scheduler.adapters.store import SchedulerStore, SchedulerTransaction
from synthbench.scheduler.adapters.tables.rollouts import PlannedRollout
from synthbench.scheduler.settings import SchedulerSettings


class Feeder:
    """Keeps the ready queues filled up to their bound."""

    def __init__(self, settings: SchedulerSettings, store: SchedulerStore) -> None:
        self._settings = settings
        self._store = store

    async def feed(self) -> int:
        """Move what may run now from Postgres onto the ready queues, up to their bound; return how many."""
        moved = 0
        async with self._store.transaction() as transaction:
            rollouts = transaction.rollouts
            if not await rollouts.lock_feeder():
                return 0  # another replica is at it
            declared = self._settings.declared_pools
            waiting = [pool for pool in await rollouts.pools_waiting() if pool in declared]
            if not waiting:
                return 0
            ready = await rollouts.count_ready()
            for pool in waiting:
                room = self._settings.ready_limit - ready.get(pool, 0)
                for planned in await rollouts.take_planned(pool, room) if room > 0 else ():
                    await self._make_ready(transaction, planned)
                    moved += 1
        return moved

    async def _make_ready(self, transaction: SchedulerTransaction, planned: PlannedRollout) -> None:
        """Announce a rollout to the executors. One trace follows one attempt: it starts here."""
        rollout = planned.rollout
        here = current_trace()
        with span(f"rollout {rollout.scaffold}", root=True, links=(here,) if here else ()) as opened:
            opened.set_attribute("synthbench.rollout_id", str(rollout.rollout_id))
            opened.set_attribute("synthbench.task", rollout.task.name)
            ready = TaskReady(**rollout.rollout_fields, rollout=rollout)
            event_id = derived_id("task.ready", rollout.rollout_id, planned.ready_count)
            await transaction.announce(ready, event_id, trace=current_trace())

    async def reconcile(self) -> int:
        """Announce again what is overdue; whoever answered long ago will answer again. Return how much was."""
        async with self._store.transaction() as transaction:
            ready = await transaction.rollouts.put_back_overdue(self._settings.ready_overdue_seconds)
            closed = await transaction.rollouts.overdue_closed(self._settings.closed_overdue_seconds)
            for rollout_id, attempt in closed:
                await transaction.announce_again(derived_id("attempt.closed", rollout_id, attempt))
                await transaction.rollouts.touch(rollout_id)
        return ready + len(closed)
