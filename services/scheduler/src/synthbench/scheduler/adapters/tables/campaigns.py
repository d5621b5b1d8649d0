"""The table `campaigns`."""

from dataclasses import dataclass
from datetime import datetime

from synthbench.scheduler.adapters.tables.table import PACKAGE, Table
from synthbench.scheduler.domain.campaigns import CampaignRights, Pause
from synthbench.storage.queries import Queries


@dataclass(frozen=True)
class CampaignCap:
    """The cap of a campaign that was resumed."""

    campaign: str
    cost_cap_microusd: int | None
    epoch: int


class Campaigns(Table):
    """Caps of campaigns, and why they pause."""

    statements = Queries.load(PACKAGE, "campaigns.sql")

    async def rights(self, campaign: str, submitter: str) -> CampaignRights:
        """Return who owns the cap of a campaign, and whether others than this submitter submit into it."""
        (row,) = await self._rows("rights", campaign=campaign, submitter=submitter)
        return CampaignRights(row["owner"], row["shared"])

    async def set_cap(self, campaign: str, cap_microusd: int, owner: str) -> None:
        """Set the cap of a campaign; a greater one lets it go on, if its cap had stopped it."""
        await self._rows("set_cap", campaign=campaign, cap=cap_microusd, owner=owner)

    async def pause(self, pause: Pause, exhausted_at: datetime) -> None:
        """Pause a campaign, unless the message that asks for it is older than the last decision to resume."""
        await self._rows(
            "pause",
            campaign=pause.campaign,
            until=pause.until,
            reason=pause.reason,
            epoch=pause.epoch,
            exhausted_at=exhausted_at,
        )

    async def resume(self, campaign: str, cap_microusd: int | None) -> CampaignCap | None:
        """Let a campaign go on, with a new cap if one is given; None if there is no such campaign."""
        row = await self._row("resume", campaign=campaign, cap=cap_microusd)
        return CampaignCap(row["campaign"], row["cost_cap_microusd"], row["epoch"]) if row else None
