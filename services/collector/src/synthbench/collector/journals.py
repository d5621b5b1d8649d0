"""Journals of attempts in the artifact store: read where the bus brought too little, deleted when nobody needs them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError

from synthbench.collector.adapters.finalising import FinalisingStore
from synthbench.collector.adapters.steps import SetAside
from synthbench.collector.domain.soundness import sound
from synthbench.collector.domain.step_batch import AttemptKey
from synthbench.contracts.events import StepRecorded
from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.journal import journal_prefix
from synthbench.contracts.steps import Step
from synthbench.storage.artifacts import ArtifactStore, key_uri

_STORED_SECONDS = 20.0
"""An executor without a lease may still write into the journal for so long after the trajectory was stored."""


@dataclass(frozen=True)
class _Entry:
    """A journalled step, stored under `journal/<rollout>/<attempt>/<index>`."""

    attempt: AttemptKey
    index: int
    data: bytes

    def step(self) -> Step | None:
        """None where it cannot be read, or is not what its digest says."""
        try:
            step = StepRecorded.model_validate_json(self.data).step
        except ValidationError:
            return None
        return step if sound(step) else None


class Journals:
    """Reads and deletes the journals that executors write.

    Args:
        store: where they are.
        table: which attempts are stored, and which steps the catalogue has.
        lost_seconds: how long the journal of an attempt that was not the last one is kept for resuming.
    """

    def __init__(self, store: ArtifactStore, table: FinalisingStore, lost_seconds: float) -> None:
        self._store = store
        self._table = table
        self._lost_seconds = lost_seconds

    async def steps(self, attempt: AttemptKey, known: Collection[int]) -> dict[int, Step]:
        """Journalled steps by index, without the known ones; entries that cannot be read are set aside."""
        found: dict[int, Step] = {}
        async for key in self._store.list(journal_prefix(*attempt)):
            index = _index(key)
            if index is None or index in known:
                continue
            entry = _Entry(attempt, index, await self._store.get(key_uri(key)))
            step = entry.step()
            if step is None:
                await self._set_aside(entry)
            else:
                found[step.index] = step
        return found

    async def tidy(self) -> int:
        """Clear the journals that stored attempts still have; return how many entries were set aside.

        Entries come late from an executor that lost its lease. Journals from which another attempt may resume stay.
        """
        keys: dict[AttemptKey, list[str]] = {}
        async for key in self._store.list("journal/"):
            rollout_id, attempt = key.split("/")[1:3]
            keys.setdefault((UUID(rollout_id), int(attempt)), []).append(key)
        clearable = await self._table.journals_to_clear(keys.keys(), _STORED_SECONDS, self._lost_seconds)
        return sum([await self._clear(attempt, keys[attempt]) for attempt in clearable])

    async def release(self, attempt: AttemptKey) -> None:
        """Delete the journal of an attempt whose trajectory was stored and read back.

        Unless it was the rollout's last attempt, it stays for the next one to resume from; with the last one go the
        journals of all before it.
        """
        rollout_id, number = attempt
        for over in await self._table.attempts_over(rollout_id):
            keys = [key async for key in self._store.list(journal_prefix(rollout_id, over))]
            if over != number:
                await self._clear((rollout_id, over), keys)
                continue
            for key in keys:
                await self._store.delete(key_uri(key))

    async def _clear(self, attempt: AttemptKey, keys: Sequence[str]) -> int:
        """Set aside what the catalogue does not know of a journal, then delete all of it; return how many that were."""
        unknown = 0
        for key in keys:
            index = _index(key)
            if index is not None:
                unknown += await self._set_aside(_Entry(attempt, index, await self._store.get(key_uri(key))))
        for key in keys:
            await self._store.delete(key_uri(key))
        return unknown

    async def _set_aside(self, entry: _Entry) -> bool:
        """Keep an entry in `steps_aside`, unless its step is stored; True if it was kept."""
        step = entry.step()
        if step is None:
            text = entry.data.decode("utf-8", errors="replace").replace("\0", "\ufffd")
            digest, reason = sha256_digest(entry.data), "journalled, and cannot be read"
        else:
            if await self._table.has_step(entry.attempt, entry.index, step.digest):
                return False
            text, digest = step.model_dump_json(), step.digest
            reason = "journalled after the attempt was stored"
        await self._table.set_aside(SetAside(*entry.attempt, entry.index, digest, text, reason))
        return True


def _index(key: str) -> int | None:
    name = key.rpartition("/")[2]
    return int(name) if name.isdigit() else None
