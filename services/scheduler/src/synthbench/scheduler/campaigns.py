"""Campaigns: their caps, and why they pause."""

from datetime import datetime
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
        """The gateway says that a budget is used up."""
        body = delivery.envelope.body
        assert isinstance(body, BudgetExhausted)
        await self.pause(body, delivery.envelope.time)

    async def pause(self, said: BudgetExhausted, said_at: datetime) -> None:
        """Pause what the budget was for.

        What was said of an earlier setting of a campaign's cap, or before somebody let all go on, changes nothing.
        """
        pause = pause_for(said)
        async with self._store.transaction() as transaction:
            await transaction.execute(
                "pause_campaign",
                campaign=pause.campaign,
                until=pause.until,
                reason=pause.reason,
                epoch=pause.epoch,
                said_at=said_at,
            )

    async def listed(self) -> list[dict[str, Any]]:
        """Every campaign with its cap, its pause and its submissions."""
        return await self._store.rows("list_campaigns")

    async def resume(self, campaign: str, cap: int | None) -> dict[str, Any] | None:
        """Let a campaign go on, with a new cap if one is given; None if there is no such campaign."""
        async with self._store.transaction() as transaction:
            rows = await transaction.execute("resume_campaign", campaign=campaign, cap=cap)
        return rows[0] if rows else None
