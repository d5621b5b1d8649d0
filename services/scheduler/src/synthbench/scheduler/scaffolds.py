"""The scaffolds that executors have, as they announce them."""

from collections.abc import Collection, Sequence

from synthbench.chassis.errors import Retry
from synthbench.contracts.rpc import AnnouncementNoted, ExecutorAnnouncement
from synthbench.scheduler.adapters.store import SchedulerStore

_RETRY_SECONDS = 1.0


class AnnouncedScaffolds:
    """Keeps the announcements in the database, for any replica may be asked.

    Args:
        store: of the scheduler.
        expected: names of the scaffolds that executors of this deployment are expected to have.
    """

    def __init__(self, store: SchedulerStore, expected: Collection[str]) -> None:
        self._store = store
        self._expected = expected

    async def announce(self, announcement: ExecutorAnnouncement) -> AnnouncementNoted:
        """Note an executor's scaffolds; a later announcement of the same name replaces an earlier one."""
        async with self._store.transaction() as transaction:
            await transaction.scaffolds.announce({offer.name: offer.resumable for offer in announcement.scaffolds})
        return AnnouncementNoted()

    async def resumable(self, wanted: str) -> Sequence[str]:
        """Return the names of the expected scaffolds that can go on from recorded steps.

        Args:
            wanted: the scaffold about which the caller wants to know.

        Raises:
            Retry: an executor is expected to have the wanted one, and none has announced it yet.
        """
        async with self._store.transaction() as transaction:
            known = await transaction.scaffolds.announced()
        if wanted not in known and wanted in self._expected:
            raise Retry(f"no executor has announced the scaffold {wanted} yet", delay=_RETRY_SECONDS)
        return sorted(name for name, resumable in known.items() if resumable and name in self._expected)
