"""The table `scaffolds`."""

from collections.abc import Mapping

from synthbench.scheduler.adapters.tables.table import PACKAGE, Table
from synthbench.storage.queries import Queries


class Scaffolds(Table):
    """The scaffolds that executors announced, and whether each can go on from recorded steps."""

    statements = Queries.load(PACKAGE, "scaffolds.sql")

    async def announce(self, resumable: Mapping[str, bool]) -> None:
        """Note scaffolds by their names; a later announcement of the same name replaces an earlier one."""
        await self._rows("announce", names=list(resumable), resumable=list(resumable.values()))

    async def announced(self) -> dict[str, bool]:
        """Return which scaffolds were announced, each with whether it is resumable."""
        return {row["name"]: row["resumable"] for row in await self._rows("announced")}
