"""Reports of the ledger for operators: what calls cost, and how the shared budgets stand."""

from datetime import date, datetime
from typing import Any, Literal

from synthbench.llm_gateway.budgets.store import SQL
from synthbench.storage.database import Database

CostGrouping = Literal["model", "campaign", "category", "day"]


class LedgerReports:
    """Reads what the ledger has written down.

    Args:
        database: of schema `ledger`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def costs(
        self,
        by: CostGrouping,
        *,
        campaign: str | None = None,
        since: datetime | date | None = None,
        until: datetime | date | None = None,
    ) -> list[dict[str, Any]]:
        """Sum up tries, tokens and costs, as JSON objects, the dearest first.

        Args:
            by: the field of a call by which they are grouped.
            campaign: of this one alone.
            since: the first moment; without a zone it is UTC.
            until: the first moment that is left out.
        """
        values = {"by": by, "campaign": campaign, "since": since, "until": until}
        async with self._database.connection() as connection:
            return await (await connection.execute(SQL["cost_by"], values)).fetchall()

    async def shared_budgets(self) -> list[dict[str, Any]]:
        """Return every budget that attempts share (of campaigns, days and months), as JSON objects."""
        async with self._database.connection() as connection:
            return await (await connection.execute(SQL["budgets"])).fetchall()
