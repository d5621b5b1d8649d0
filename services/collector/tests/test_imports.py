"""Trajectories of others in a real catalogue: once each, never counted, and only what is what it says."""

import asyncio
from typing import Any

import pytest

from synthbench.collector.imports import Imports, NotImportable
from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.steps import Action
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import VerificationResult
from synthbench.datasets.formats.foreign import Source, read
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import encode


@pytest.fixture
def imports(database: Database, store: FilesStore) -> Imports:
    return Imports(database, store)


def made(text: str = "Done.", resolved: bool | None = True) -> Trajectory:
    document = [{"role": "user", "content": "Mend it."}, {"role": "assistant", "content": text}]
    return read(document, Source("a.json", sha256_digest(text.encode()), resolved=resolved))[0]


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute("select * from trajectories")).fetchall()


async def test_it_is_listed_once_and_never_counts(imports: Imports, store: FilesStore, database: Database):
    artifact = await store.put(encode(made()))
    assert await imports.take(artifact) == (made(), "stored")
    assert (await imports.take(artifact))[1] == "there"
    results = await asyncio.gather(*(imports.take(artifact) for _ in range(4)))
    assert {state for _, state in results} == {"there"}
    (row,) = await rows(database)
    assert (row["imported"], row["resolved"], row["counted"]) == ("messages", True, False)
    assert (row["task"], row["outcome"], row["reward"], row["steps"]) == ("imported/a.json#0", "solved", 0.0, 1)
    assert row["artifact"]["digest"] == artifact.digest


async def test_what_was_made_here_or_changed_is_not_taken(imports: Imports, store: FilesStore, database: Database):
    own = made()
    assert own.imported is not None
    step = own.steps[0].model_copy(update={"action": Action(message="forged")})
    for forged, words in (
        (own.model_copy(update={"imported": None}), "no imported trajectory"),
        (own.model_copy(update={"verification": VerificationResult(reward=1.0)}), "no imported trajectory"),
        (own.model_copy(update={"reward": 1.0}), "no imported trajectory"),
        (own.model_copy(update={"imported": own.imported.model_copy(update={"number": 3})}), "rollout is not"),
        (own.model_copy(update={"trajectory_id": own.rollout.rollout_id}), "its id is not"),
        (own.model_copy(update={"steps": [step]}), "not what its digest says"),
    ):
        with pytest.raises(NotImportable, match=words):
            await imports.take(await store.put(encode(forged)))
    with pytest.raises(ArtifactCorrupt):
        await imports.take(await store.put(b"no trajectory"))
    artifact = await store.put(encode(own))
    await store.delete(artifact.uri)
    with pytest.raises(ArtifactNotFound):
        await imports.take(artifact)
    assert await rows(database) == []
