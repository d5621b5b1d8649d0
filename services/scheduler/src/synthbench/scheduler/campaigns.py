"""Campaigns: their caps, and why they pause."""

from typing import Any

from synthbench.chassis.consumer import Delivery
from synthbench.contracts.events import BudgetExhausted
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.domain.campaigns import pause_for


class Campaigns:
    """Pauses on used-up budgets, resumes when somebody says so."""

    def __init__(self, store: SchedulerStore) -> None:
        self._store = store

    async def on_exhausted(self, delivery: Delivery) -> None:
        """Pause what the budget was for. A word about an earlier setting of the cap changes nothing."""
        body = delivery.envelope.body
        assert isinstance(body, BudgetExhausted)
        pause = pause_for(body)
        async with self._store.transaction() as transaction:
            await transaction.execute(
                "pause_campaign", campaign=pause.campaign, until=pause.until, reason=pause.reason, epoch=pause.epoch
            )

    async def listed(self) -> list[dict[str, Any]]:
        """Every campaign with its cap, its pause and its submissions."""
        return await self._store.rows("list_campaigns")

    async def resume(self, campaign: str, cap: int | None) -> dict[str, Any] | None:
        """Let a campaign go on, with a new cap if one is given; None if there is no such campaign."""
        async with self._store.transaction() as transaction:
            rows = await transaction.execute("resume_campaign", campaign=campaign, cap=cap)
        return rows[0] if rows else None
