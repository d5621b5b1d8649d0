"""`artifacts verify`: whatever is wrong with a stored trajectory is a line."""

from pathlib import Path

import pytest

from synthbench.cli.commands.artifacts import problems_of
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import Action, State
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import Source, read
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.trajectories import encode


@pytest.fixture
def store(tmp_path: Path) -> FilesStore:
    return FilesStore(tmp_path)


async def made(store: FilesStore) -> tuple[Trajectory, ArtifactRef]:
    original, checkpoint = await store.put(b"as it came"), await store.put(b"files")
    messages = [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]
    trajectory, _ = read(messages, Source("a.json", original.digest, original=original))
    step = trajectory.steps[0].model_copy(update={"state": State(checkpoint=checkpoint)}).sealed()
    trajectory = trajectory.model_copy(update={"steps": [step], "diff": checkpoint})
    return trajectory, await store.put(encode(trajectory))


async def test_whole_it_is_silent(store: FilesStore):
    _, artifact = await made(store)
    seen: set[str] = set()
    assert await problems_of(store, artifact, 1, seen) == []
    assert len(seen) == 2


async def test_what_is_gone_or_changed_is_named(store: FilesStore):
    trajectory, artifact = await made(store)
    assert await problems_of(store, artifact, 2, set()) == ["it has 1 steps, and the catalogue says 2"]
    checkpoint = trajectory.steps[0].state.checkpoint
    assert checkpoint is not None
    await store.delete(checkpoint.uri)
    assert await problems_of(store, artifact, 1, set()) == [f"it names {checkpoint.uri}, which is gone"]
    forged = trajectory.steps[0].model_copy(update={"action": Action(message="other")})
    other = await store.put(encode(trajectory.model_copy(update={"steps": [forged], "diff": None})))
    assert (await problems_of(store, other, 1, {checkpoint.uri})) == ["step 0 is not what its digest says"]
    path = store.local_path(artifact.uri)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-5])
    assert "hashes to" in (await problems_of(store, artifact, 1, set()))[0]
    path.unlink()
    assert "nothing is stored" in (await problems_of(store, artifact, 1, set()))[0]
