"""The scheduler's schema: submissions, rollouts, attempts, campaigns and the quarantine, with its outbox."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

from synthbench.contracts.model import Record
from synthbench.scheduler.adapters.tables.attempts import Attempts
from synthbench.scheduler.adapters.tables.campaigns import Campaigns
from synthbench.scheduler.adapters.tables.quarantine import Quarantine
from synthbench.scheduler.adapters.tables.rollouts import Rollouts
from synthbench.scheduler.adapters.tables.scaffolds import Scaffolds
from synthbench.scheduler.adapters.tables.submissions import Submissions
from synthbench.storage.database import Connection, Database
from synthbench.storage.outbox import Outbox


class SchedulerTransaction:
    """One transaction over all tables of the scheduler."""

    def __init__(self, connection: Connection, outbox: Outbox) -> None:
        self._connection = connection
        self._outbox = outbox
        self.submissions = Submissions(connection)
        self.rollouts = Rollouts(connection)
        self.attempts = Attempts(connection)
        self.campaigns = Campaigns(connection)
        self.quarantine = Quarantine(connection)
        self.scaffolds = Scaffolds(connection)

    async def announce(self, event: Record, event_id: UUID, *, trace: dict[str, str] | None = None) -> None:
        """Put an event into the outbox; by default it belongs to the current trace."""
        await self._outbox.add(self._connection, event, id=event_id, trace=trace)

    async def announce_again(self, event_id: UUID) -> None:
        """Publish an old event once more, if that was long ago."""
        await self._outbox.again(self._connection, event_id)


class SchedulerStore:
    """All SQL that changes the scheduler's state goes through its transactions."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[SchedulerTransaction]:
        """State and events go out together, or neither does."""
        async with self._database.connection() as connection:
            yield SchedulerTransaction(connection, self._outbox)
