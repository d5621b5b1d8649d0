"""Stored trajectories: zstd frames that can be read one by one, with an index at the end.

`zstd -dc FILE` prints JSON lines: the trajectory without its steps, then a step on each line. The steps lie in chunks,
each a frame of its own; the index, a skippable frame that zstd passes over, says where each chunk is, which steps it
has, and its digest. The last 16 bytes, another skippable frame, say where the index begins. Source: RFC 8878, 3.1.2.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import zstandard
from pydantic import BaseModel, ConfigDict, ValidationError

from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt

MEDIA_TYPE = "application/vnd.synthbench.trajectory+zstd"
CHUNK_BYTES = 1024 * 1024
"""JSON in a chunk, before compression; a chunk has one step at least."""
_LEVEL = 3
_INDEX_MAGIC, _TRAILER_MAGIC = 0x184D2A50, 0x184D2A51
_FRAME = struct.Struct("<II")
_TRAILER = struct.Struct("<IIQ")
_TAIL_BYTES = 64 * 1024
_MOST_BYTES = 4 * 1024**3
"""JSON in one frame; this module writes no larger ones."""
_ZSTD = b"\x28\xb5\x2f\xfd"


class Chunk(BaseModel):
    """A frame of the file: its place, and the steps in it."""

    model_config = ConfigDict(frozen=True)

    offset: int
    size: int
    """Bytes in the file."""
    json_bytes: int
    """Bytes of JSON."""
    first: int
    """Index of the frame's first step."""
    steps: int
    digest: str
    """Digest of the compressed frame."""


class Index(BaseModel):
    """The frames of a stored trajectory; the last part of its file."""

    model_config = ConfigDict(frozen=True)

    version: int = 1
    header: Chunk
    """The trajectory without its steps."""
    chunks: list[Chunk] = []

    @property
    def steps(self) -> int:
        """Number of steps in all chunks."""
        return sum(chunk.steps for chunk in self.chunks)


@dataclass
class TrajectoryWriter:
    """Writes a trajectory's file step by step; it holds compressed chunks in memory, and steps of one chunk at most."""

    chunk_bytes: int = CHUNK_BYTES
    steps: int = 0
    """Number of steps added so far."""
    _lines: list[bytes] = field(default_factory=list[bytes])
    _held: int = 0
    _frames: list[tuple[bytes, int, int, int]] = field(default_factory=list[tuple[bytes, int, int, int]])
    """Compressed chunks, each with its bytes of JSON, the index of its first step, and its number of steps."""

    def add(self, step: bytes) -> None:
        """Add the next step, given as JSON without a line break."""
        self._lines.append(step)
        self._held += len(step) + 1
        self.steps += 1
        if self._held >= self.chunk_bytes:
            self._close_chunk()

    def finish(self, header: Trajectory) -> bytes:
        """Return the whole file; `header` is the trajectory, whose steps are left out."""
        self._close_chunk()
        first = _lines_of([header.model_copy(update={"steps": []}).to_json()])
        parts, offset, chunks = list[bytes](), 0, list[Chunk]()
        for frame, json_bytes, start, count in [(_compressed(first), len(first), 0, 0), *self._frames]:
            chunks.append(
                Chunk(
                    offset=offset, size=len(frame), json_bytes=json_bytes, first=start, steps=count,
                    digest=sha256_digest(frame),
                )
            )  # fmt: skip
            parts.append(frame)
            offset += len(frame)
        index = Index(header=chunks[0], chunks=chunks[1:]).model_dump_json().encode()
        parts += [_FRAME.pack(_INDEX_MAGIC, len(index)), index, _TRAILER.pack(_TRAILER_MAGIC, 8, offset)]
        return b"".join(parts)

    def _close_chunk(self) -> None:
        if self._lines:
            text = _lines_of(self._lines)
            self._frames.append((_compressed(text), len(text), self.steps - len(self._lines), len(self._lines)))
            self._lines, self._held = [], 0


def encode(trajectory: Trajectory) -> bytes:
    """Return the file of a trajectory."""
    writer = TrajectoryWriter()
    for step in trajectory.steps:
        writer.add(step.to_json())
    return writer.finish(trajectory)


def decode(data: bytes) -> Trajectory:
    """Read a whole file, or the plain JSON that `trajectories export` writes.

    Raises:
        ArtifactCorrupt: it is neither; the message is one line.
    """
    if not data.startswith(_ZSTD):
        return _checked(data)
    index = _index_in(data, 0)
    header = _header(_part(data, index.header), index.header)
    steps = [step for chunk in index.chunks for step in _steps(_part(data, chunk), chunk)]
    return header.model_copy(update={"steps": steps})


async def read_trajectory(store: ArtifactStore, uri: str) -> Trajectory:
    """Read a whole trajectory from the store; the digest in its URI is checked.

    Raises:
        ArtifactNotFound, ArtifactStoreUnavailable: as the store does.
        ArtifactCorrupt: the digest does not match, or the file is no trajectory.
    """
    return decode(await store.get(uri))


class StoredTrajectory:
    """A trajectory that is read in parts, each checked against the digest in the index."""

    def __init__(self, store: ArtifactStore, uri: str, index: Index) -> None:
        self._store = store
        self._uri = uri
        self.index = index

    @classmethod
    async def open(cls, store: ArtifactStore, artifact: ArtifactRef) -> "StoredTrajectory":
        """Read the index of a stored trajectory.

        Raises:
            ArtifactNotFound, ArtifactStoreUnavailable: as the store does.
            ArtifactCorrupt: the file has no index.
        """
        start = max(0, artifact.size - _TAIL_BYTES)
        tail = await store.read(artifact.uri, start, artifact.size - start)
        begins = _index_offset(tail, start)
        if begins < start:
            tail = await store.read(artifact.uri, begins, start - begins) + tail
            start = begins
        return cls(store, artifact.uri, _index_in(tail, start))

    async def header(self) -> Trajectory:
        """Read the trajectory without its steps."""
        return _header(await self._frame(self.index.header), self.index.header)

    async def steps(self, start: int = 0, stop: int | None = None) -> list[Step]:
        """Read the steps from `start` to before `stop`, as far as there are any."""
        end = self.index.steps if stop is None else min(stop, self.index.steps)
        found: list[Step] = []
        for chunk in self.index.chunks:
            if chunk.first < end and chunk.first + chunk.steps > start:
                found += [step for step in _steps(await self._frame(chunk), chunk) if start <= step.index < end]
        return found

    async def _frame(self, chunk: Chunk) -> bytes:
        return await self._store.read(self._uri, chunk.offset, chunk.size)


def _lines_of(lines: Sequence[bytes]) -> bytes:
    return b"\n".join(lines) + b"\n"


def _compressed(text: bytes) -> bytes:
    frame = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(text)
    return memoryview(frame).tobytes()  # the original holds as much memory as it might have become


def _index_offset(tail: bytes, start: int) -> int:
    """Return the offset of the index, as the last bytes of the file say; `start` is the offset of `tail`."""
    if len(tail) < _TRAILER.size:
        raise ArtifactCorrupt("it is no stored trajectory: too short")
    magic, size, offset = _TRAILER.unpack(tail[-_TRAILER.size :])
    if (magic, size) != (_TRAILER_MAGIC, 8) or offset > start + len(tail) - _TRAILER.size - _FRAME.size:
        raise ArtifactCorrupt("it is no stored trajectory, or is cut off: there is no index at its end")
    return offset


def _index_in(tail: bytes, start: int) -> Index:
    begins = _index_offset(tail, start) - start
    magic, size = _FRAME.unpack_from(tail, begins)
    text = tail[begins + _FRAME.size : -_TRAILER.size]
    if magic != _INDEX_MAGIC or size != len(text):
        raise ArtifactCorrupt("it is no stored trajectory: the index is not where it should be")
    try:
        return Index.model_validate_json(text)
    except ValidationError as error:
        raise ArtifactCorrupt(f"the index cannot be read: {error.errors()[0]['msg']}") from error


def _part(data: bytes, chunk: Chunk) -> bytes:
    return data[chunk.offset : chunk.offset + chunk.size]


def _unpacked(frame: bytes, chunk: Chunk) -> bytes:
    if sha256_digest(frame) != chunk.digest:
        raise ArtifactCorrupt(f"the chunk at {chunk.offset} does not match its digest")
    try:
        if not zstandard.frame_content_size(frame) == chunk.json_bytes <= _MOST_BYTES:
            raise ArtifactCorrupt(f"the chunk at {chunk.offset} is not as long as the index says")
        return zstandard.ZstdDecompressor().decompress(frame)
    except zstandard.ZstdError as error:
        raise ArtifactCorrupt(f"the chunk at {chunk.offset} cannot be unpacked: {error}") from error


def _header(frame: bytes, chunk: Chunk) -> Trajectory:
    return _checked(_unpacked(frame, chunk))


def _steps(frame: bytes, chunk: Chunk) -> Iterator[Step]:
    lines = _unpacked(frame, chunk).split(b"\n")[:-1]
    if len(lines) != chunk.steps:
        raise ArtifactCorrupt(f"the chunk at {chunk.offset} has {len(lines)} steps, not {chunk.steps}")
    for line in lines:
        try:
            yield Step.model_validate_json(line)
        except ValidationError as error:
            raise ArtifactCorrupt(f"a step cannot be read: {error.errors()[0]['msg']}") from error


def _checked(text: bytes) -> Trajectory:
    try:
        return Trajectory.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactCorrupt(f"it is no trajectory: {where + ': ' if where else ''}{first['msg']}") from error
    except (ValueError, json.JSONDecodeError) as error:
        raise ArtifactCorrupt(f"it is no trajectory: {error}") from error
