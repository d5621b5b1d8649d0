"""Stored trajectories: whole, in parts, and broken in every way."""

import json
import shutil
import subprocess
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import ArtifactRef, Outcome, Rollout, TaskInfo
from synthbench.contracts.steps import Action, Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage import trajectories
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import StoredTrajectory, TrajectoryWriter, decode, encode, read_trajectory

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def made(*messages: str) -> Trajectory:
    task = TaskInfo(name="own/task-1", digest="sha256:" + "0" * 64)
    rollout = Rollout(
        rollout_id=uuid4(), submission_id=uuid4(), campaign="c", task=task, scaffold="native", route="m", pool="p"
    )
    steps = [
        Step(index=index, started_at=NOW, finished_at=NOW, action=Action(message=message)).sealed()
        for index, message in enumerate(messages)
    ]
    return Trajectory(trajectory_id=uuid4(), rollout=rollout, attempt=1, outcome=Outcome.SOLVED, steps=steps)


class Counting(FilesStore):
    """Says how much was read of it."""

    bytes_read = 0

    async def read(self, uri: str, start: int, length: int) -> bytes:
        data = await super().read(uri, start, length)
        self.bytes_read += len(data)
        return data

    async def get(self, uri: str) -> bytes:
        data = await super().get(uri)
        self.bytes_read += len(data)
        return data


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    return Counting(tmp_path / "artifacts")


@given(st.lists(st.text(max_size=50), max_size=12), st.integers(1, 2000))
def test_what_was_written_is_read(messages: list[str], chunk_bytes: int):
    trajectory = made(*messages)
    writer = TrajectoryWriter(chunk_bytes)
    for step in trajectory.steps:
        writer.add(step.to_json())
    assert decode(writer.finish(trajectory)) == trajectory
    assert decode(encode(trajectory)) == trajectory
    assert decode(trajectory.to_json()) == trajectory  # as it is exported


@given(st.integers(0, 12), st.integers(0, 14), st.integers(0, 14), st.integers(1, 2000))
async def test_any_range_reads_alone(count: int, start: int, stop: int, chunk_bytes: int):
    trajectory = made(*[f"step {number}" for number in range(count)])
    writer = TrajectoryWriter(chunk_bytes)
    for step in trajectory.steps:
        writer.add(step.to_json())
    data = writer.finish(trajectory)

    class Memory(FilesStore):
        async def read(self, uri: str, start: int, length: int) -> bytes:
            return data[start : start + length]

    artifact = ArtifactRef(uri="artifact://key/x", digest="sha256:" + "0" * 64, size=len(data))
    stored = await StoredTrajectory.open(Memory("/nowhere"), artifact)
    assert stored.index.steps == count
    assert await stored.steps(start, stop) == trajectory.steps[start:stop]
    assert await stored.steps(start) == trajectory.steps[start:]
    assert await stored.header() == trajectory.model_copy(update={"steps": []})


def noise(length: int) -> str:
    """A text that hardly compresses."""
    return "".join(uuid4().hex for _ in range(length // 32))


async def test_one_step_of_a_large_one_reads_its_chunk_and_the_index(store: Counting):
    trajectory = made(*[noise(100_000) for _ in range(200)])
    artifact = await store.put(encode(trajectory))
    assert artifact.size > 10_000_000
    stored = await StoredTrajectory.open(store, artifact)
    assert await stored.steps(150, 151) == [trajectory.steps[150]]
    assert store.bytes_read < 1_500_000
    assert await read_trajectory(store, artifact.uri) == trajectory


async def test_an_index_longer_than_the_tail_is_read_whole(store: Counting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trajectories, "_TAIL_BYTES", 64)
    trajectory = made("a", "b")
    stored = await StoredTrajectory.open(store, await store.put(encode(trajectory)))
    assert await stored.steps() == trajectory.steps


def test_a_hundred_megabytes_are_written_without_holding_them():
    line = json.dumps({"text": noise(500_000)}).encode() * 2
    trajectory = made()
    tracemalloc.start()
    writer = TrajectoryWriter()
    for _ in range(100):
        writer.add(line)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    data = writer.finish(trajectory)
    assert writer.steps == 100
    assert peak < len(data) + 8_000_000 < 30_000_000


@pytest.mark.skipif(shutil.which("zstd") is None, reason="there is no program zstd here")
def test_zstd_prints_it_as_lines_of_json(tmp_path: Path):
    trajectory = made("one", "two")
    (tmp_path / "t.zst").write_bytes(encode(trajectory))
    printed = subprocess.run(["zstd", "-dc", tmp_path / "t.zst"], capture_output=True, check=True, timeout=20).stdout
    lines = [json.loads(line) for line in printed.splitlines()]
    assert lines[0]["trajectory_id"] == str(trajectory.trajectory_id)
    assert [line["action"]["message"] for line in lines[1:]] == ["one", "two"]


def test_other_readers_of_zstd_find_the_same_lines():
    trajectory = made("one", "two")
    text = zstandard.ZstdDecompressor().stream_reader(encode(trajectory), read_across_frames=True).read()
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:-1], "cut off|not where"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: data[:4], "too short"),
        (lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:], "does not match its digest"),
        (lambda data: data[:-8] + (10**9).to_bytes(8, "little"), "no index at its end"),
        (lambda data: data[:-8] + (0).to_bytes(8, "little"), "not where it should be"),
        (lambda data: data.replace(b'"version"', b'"versioN"').replace(b'"chunks"', b'"chunkS"'), None),
        (lambda data: data.replace(b'"header":{', b'"headeR":{'), "index cannot be read"),
        (lambda data: b"\x00\x01binary", "it is no trajectory"),
        (lambda data: b"[" * 100_000, "it is no trajectory"),
        (lambda data: b"{}", "trajectory_id: Field required"),
        (lambda data: b"", "it is no trajectory"),
    ],
)
def test_what_is_broken_is_told_in_one_line(spoil, words: str | None):
    data = spoil(encode(made("one", "two")))
    if words is None:
        assert decode(data).steps == []
        return
    with pytest.raises(ArtifactCorrupt, match=words) as told:
        decode(data)
    assert "\n" not in str(told.value)


def test_a_chunk_that_lies_about_its_length_is_not_unpacked():
    bomb = zstandard.ZstdCompressor().compress(b"\0" * 10_000_000)
    chunk = trajectories.Chunk(offset=0, size=len(bomb), json_bytes=100, first=0, steps=1, digest=sha256_digest(bomb))
    with pytest.raises(ArtifactCorrupt, match="not as long as"):
        trajectories._unpacked(bomb, chunk)


async def test_nothing_stored_is_not_found(store: Counting):
    artifact = ArtifactRef(uri="artifact://sha256/" + "0" * 64, digest="sha256:" + "0" * 64, size=9)
    with pytest.raises(ArtifactNotFound):
        await StoredTrajectory.open(store, artifact)
