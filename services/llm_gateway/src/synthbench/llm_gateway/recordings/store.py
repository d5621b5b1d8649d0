"""Recordings in an artifact store: bodies by their digest, and a small record under a key that is written once."""

import asyncio
from dataclasses import dataclass

from pydantic import ValidationError
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import one_line
from synthbench.chassis.redaction import without_secrets
from synthbench.llm_gateway import metrics
from synthbench.llm_gateway.recordings.domain.recording import Recording, RecordingKey
from synthbench.storage.artifacts import ArtifactStore, key_uri
from synthbench.storage.errors import (
    ArtifactConflict,
    ArtifactCorrupt,
    ArtifactNotFound,
    ArtifactStoreUnavailable,
)
from synthbench.wire.refusal import Refusal

_WRITE_SECONDS = 10.0
_SHOWN = 8


@dataclass(frozen=True)
class StoredAnswer:
    """A recording with the body of its answer."""

    recording: Recording
    body: bytes


@dataclass(frozen=True)
class CompletedAnswer:
    """A whole answer of a provider, to be recorded."""

    provider: str
    wire: str
    request: bytes
    """The request as the provider got it."""
    body: bytes
    """The answer as it came."""
    stream: bool
    """Whether the body is the events of a stream."""


class RecordingStore:
    """Finds and writes recordings.

    Args:
        store: the artifacts.
        log: says which recordings could not be read or written.
    """

    def __init__(self, store: ArtifactStore, log: BoundLogger) -> None:
        self._store = store
        self._log = log

    async def read(self, key: RecordingKey) -> StoredAnswer:
        """Read the answer to a request; nothing else will do.

        Raises:
            Refusal: 404 `not_recorded`, there is none; 502 `recording_corrupt`, it cannot be believed.
            ArtifactStoreUnavailable: nobody can say.
        """
        try:
            found = await self._load(key)
        except (ArtifactCorrupt, ValidationError) as error:
            metrics.RECORDINGS.labels("corrupt").inc()
            problem = f"the recording {key.path} is damaged ({one_line(error)}); delete it and record anew"
            raise Refusal(502, "recording_corrupt", problem) from error
        if found is None:
            metrics.RECORDINGS.labels("missed").inc()
            raise Refusal(404, "not_recorded", await self._missing(key))
        metrics.RECORDINGS.labels("played").inc()
        return found

    async def find(self, key: RecordingKey) -> StoredAnswer | None:
        """Look for an answer where the provider can be asked as well; a damaged recording is removed."""
        try:
            found = await self._load(key)
        except (ArtifactCorrupt, ValidationError) as error:
            metrics.RECORDINGS.labels("corrupt").inc()
            self._log.warning("recording is damaged, and recorded anew", path=key.path, error=one_line(error))
            await self._remove(key)
            return None
        except ArtifactStoreUnavailable as error:
            metrics.RECORDINGS.labels("unreadable").inc()
            self._log.warning("recordings cannot be read", error=one_line(error))
            return None
        metrics.RECORDINGS.labels("played" if found else "missed").inc()
        return found

    async def keep(self, key: RecordingKey, completed: CompletedAnswer) -> None:
        """Write an answer, unless there is one under this key. It never fails: the call goes on."""
        try:
            async with asyncio.timeout(_WRITE_SECONDS):
                new = await self._write(key, completed)
        except ArtifactConflict:
            new = False
        except (ArtifactStoreUnavailable, TimeoutError) as error:
            metrics.RECORDINGS.labels("unwritten").inc()
            self._log.error("answer is not recorded", path=key.path, error=one_line(error) or "too slow")
            return
        metrics.RECORDINGS.labels("kept" if new else "taken").inc()

    async def _write(self, key: RecordingKey, completed: CompletedAnswer) -> bool:
        request = await self._store.put(without_secrets(completed.request), media_type="application/json")
        media_type = "text/event-stream" if completed.stream else "application/json"
        answer = await self._store.put(without_secrets(completed.body), media_type=media_type)
        recording = Recording.model_validate({
            "model": key.model, "provider": completed.provider, "wire": completed.wire, "request": key.request,
            "sample": key.sample, "number": key.number, "stream": completed.stream, "asked": request, "answer": answer,
        })  # fmt: skip
        return await self._store.put_named(key.path, recording.to_json())

    async def _load(self, key: RecordingKey) -> StoredAnswer | None:
        try:
            recording = Recording.model_validate_json(await self._store.get(key_uri(key.path)))
        except ArtifactNotFound:
            return None
        if not recording.answers(key):
            raise ArtifactCorrupt("it answers another request")
        try:
            return StoredAnswer(recording, await self._store.get(recording.answer.uri))
        except (ArtifactNotFound, ValueError) as error:
            raise ArtifactCorrupt(f"its answer is gone: {one_line(error)}") from error

    async def _remove(self, key: RecordingKey) -> None:
        """Remove a damaged recording, its body too: content that is there is not written again."""
        try:
            recording = Recording.model_validate_json(await self._store.get(key_uri(key.path)))
            await self._store.delete(recording.answer.uri)
        except (ArtifactNotFound, ArtifactStoreUnavailable, ValueError):
            pass  # what cannot be read names no body
        try:
            await self._store.delete(key_uri(key.path))
        except ArtifactStoreUnavailable as error:
            self._log.warning("a damaged recording stays", path=key.path, error=one_line(error))

    async def _missing(self, key: RecordingKey) -> str:
        names = [path.removeprefix(key.folder) async for path in self._store.list(key.folder)]
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        others = f"recorded of this request: {shown}" if names else "nothing is recorded of this request"
        return f"there is no recording of {key} ({key.path}); {others}; record it with SYNTHBENCH_RECORDING=on"
