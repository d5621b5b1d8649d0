"""Looks up submitted tasks: in the built-in library by name, or among uploaded packages by digest."""

import asyncio

from synthbench.contracts.records import TaskInfo
from synthbench.scheduler.domain.planning import TaskFacts
from synthbench.storage.artifacts import ArtifactStore, uri_of_digest
from synthbench.storage.errors import ArtifactNotFound
from synthbench.tasks import PackageArchiveRefused, TaskError, TaskPackage, load_library_task, pack, unpack


class UnusableTask(Exception):
    """There is no such task, or its package is broken; the message is one line for the submitter."""


class TaskCatalogue:
    """Looks tasks up, and puts library packages into the artifact store, where executors find them by digest."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._library: dict[str, TaskFacts] = {}

    async def find(self, task: str) -> TaskFacts:
        """Return the facts of a library name or of a digest `sha256:…`.

        Raises:
            UnusableTask: it cannot be had, and why.
        """
        if task.startswith("sha256:"):
            return await self._uploaded(task)
        if task not in self._library:
            self._library[task] = await self._from_library(task)
        return self._library[task]

    async def _from_library(self, name: str) -> TaskFacts:
        try:
            package = await asyncio.to_thread(load_library_task, name)
            archive = await asyncio.to_thread(pack, package)
        except (TaskError, LookupError) as error:
            raise UnusableTask(_line(error)) from error
        reference = await self._store.put(archive, media_type="application/x-tar")
        return _facts(package, reference.digest, from_library=True)

    async def _uploaded(self, digest: str) -> TaskFacts:
        try:
            archive = await self._store.get(uri_of_digest(digest))
            package = await asyncio.to_thread(unpack, archive)
        except (ArtifactNotFound, ValueError) as error:
            raise UnusableTask(f"no task package {digest} in the artifact store; upload it first") from error
        except (TaskError, PackageArchiveRefused) as error:
            raise UnusableTask(_line(error)) from error
        return _facts(package, digest, from_library=False)


def _facts(package: TaskPackage, digest: str, *, from_library: bool) -> TaskFacts:
    info = TaskInfo(
        name=package.id,
        digest=digest,
        category=package.category,
        difficulty=package.difficulty,
        tags=list(package.tags),
        licence=package.licence,
    )
    return TaskFacts(
        info=info,
        engines=tuple(package.engines),
        why_engines="it needs its own image, and root in it" if package.profile == "harbor" else "",
        from_library=from_library,
        max_seconds=package.limits.agent_timeout_sec,
    )


def _line(error: Exception) -> str:
    return str(error).split("\n")[0].strip("'\"")
