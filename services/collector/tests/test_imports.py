"""Trajectories of others in a real catalogue: once each, never counted, and only what is what it says."""

import asyncio
import threading
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from synthbench.collector.adapters.trajectories import SQL, TrajectoryEntry
from synthbench.collector.domain.assembly import StepTotals, summarise
from synthbench.collector.importer import NotImportable, TrajectoryImporter
from synthbench.contracts.ids import sha256_digest, uuid7
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import Action
from synthbench.contracts.text import original
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import VerificationResult
from synthbench.datasets.formats.foreign import Source, read
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import encode

OTHER = sha256_digest(b"another document")


@pytest.fixture
def importer(database: Database, store: FilesStore) -> TrajectoryImporter:
    return TrajectoryImporter(database, store)


def made(text: str = "Done.", resolved: bool | None = True) -> Trajectory:
    document = [{"role": "user", "content": "Mend it."}, {"role": "assistant", "content": text}]
    return read(document, Source("a.json", sha256_digest(text.encode()), resolved=resolved))[0]


async def rows(database: Database) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute("select * from trajectories")).fetchall()


async def test_it_is_listed_once_and_never_counts(importer: TrajectoryImporter, store: FilesStore, database: Database):
    artifact = await store.put(encode(made()))
    assert await importer.take(artifact) == (made(), "stored")
    assert (await importer.take(artifact))[1] == "there"
    results = await asyncio.gather(*(importer.take(artifact) for _ in range(4)))
    assert {state for _, state in results} == {"there"}
    (row,) = await rows(database)
    assert (row["imported"], row["resolved"], row["counted"]) == ("messages", True, False)
    assert (row["task"], row["outcome"], row["reward"], row["steps"]) == ("imported/a.json#0", "solved", 0.0, 1)
    assert row["artifact"]["digest"] == artifact.digest


def test_many_imports_of_one_trajectory_at_once_store_it_once(dsn: SecretStr):
    """On threads: inserts of one event loop hardly ever meet."""
    together, stored, failed = threading.Barrier(6), list[str](), list[Exception]()
    first = made()
    artifact = ArtifactRef(uri="x", digest=sha256_digest(b""))
    entry = TrajectoryEntry(first, summarise(first, StepTotals()), artifact, False, "", frozenset())
    rows = [{**entry.row(), "trajectory_id": uuid7(), "rollout_id": uuid7()} for _ in range(100)]

    def take() -> None:
        options = "-c search_path=catalogue"
        with psycopg.connect(dsn.get_secret_value(), options=options, autocommit=True) as connection:
            for one in rows:
                together.wait(30)
                try:
                    with connection.transaction():
                        connection.execute(SQL["import_lock"], one)
                        stored.extend(map(str, connection.execute(SQL["insert_trajectory"], one).fetchall()))
                except psycopg.Error as error:
                    failed.append(error)

    threads = [threading.Thread(target=take) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert len(stored) == len(rows)


async def test_foreign_text_of_an_import_reaches_the_catalogue(
    importer: TrajectoryImporter, store: FilesStore, database: Database
):
    hostile = "a\0b \ud800 \x1b" + "x" * 5000
    document = [{"role": "user", "content": hostile}, {"role": "assistant", "content": hostile}]
    source = Source(f"{hostile}.json", sha256_digest(b"d"), model=hostile, scaffold=hostile, resolved=None)
    trajectory = read(document, source)[0]
    assert (await importer.take(await store.put(encode(trajectory))))[1] == "stored"
    (row,) = await rows(database)
    assert "\0" not in row["task"] + row["model"]
    assert original(trajectory.steps[0].action.message) == hostile


async def test_what_was_made_here_or_changed_is_not_taken(
    importer: TrajectoryImporter, store: FilesStore, database: Database
):
    own = made()
    assert own.imported is not None
    step = own.steps[0].model_copy(update={"action": Action(message="forged")})
    for forged, words in (
        (own.model_copy(update={"imported": None}), "no imported trajectory"),
        (own.model_copy(update={"verification": VerificationResult(reward=1.0)}), "no imported trajectory"),
        (own.model_copy(update={"reward": 1.0}), "no imported trajectory"),
        (own.model_copy(update={"imported": own.imported.model_copy(update={"digest": OTHER})}), "rollout is not"),
        (own.model_copy(update={"trajectory_id": own.rollout.rollout_id}), "its id is not"),
        (own.model_copy(update={"steps": [step]}), "not what its digest says"),
    ):
        with pytest.raises(NotImportable, match=words):
            await importer.take(await store.put(encode(forged)))
    with pytest.raises(ArtifactCorrupt):
        await importer.take(await store.put(b"no trajectory"))
    artifact = await store.put(encode(own))
    await store.delete(artifact.uri)
    with pytest.raises(ArtifactNotFound):
        await importer.take(artifact)
    assert await rows(database) == []
