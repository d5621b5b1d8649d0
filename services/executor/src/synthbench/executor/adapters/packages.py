"""Task packages by digest, read from the artifact store once."""

import asyncio
from collections import OrderedDict

from synthbench.executor.domain.endings import InfraFailure
from synthbench.storage.artifacts import ArtifactStore, uri_of_digest
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.tasks import TaskError, TaskPackage, unpack

_KEPT = 32


class TaskPackageCache:
    """Reads task packages from the artifact store, and keeps the last ones in memory."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._known: OrderedDict[str, TaskPackage] = OrderedDict()

    async def get(self, digest: str) -> TaskPackage:
        """Return a package.

        Raises:
            InfraFailure: it is not in the store, or broken there.
        """
        if digest not in self._known:
            try:
                archive = await self._store.get(uri_of_digest(digest))
                self._known[digest] = await asyncio.to_thread(unpack, archive)
            except (ArtifactNotFound, ArtifactCorrupt, TaskError) as error:
                raise InfraFailure(f"task package {digest}: {error}") from error
        self._known.move_to_end(digest)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[digest]
