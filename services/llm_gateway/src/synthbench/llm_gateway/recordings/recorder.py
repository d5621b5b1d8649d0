"""Record and replay: calls are answered from recordings, and their answers are recorded.

It lies between the gateway and the provider, so that every wire format of a caller and both kinds of answer (whole,
stream) share a recording. Providers that are free answer anew each time, and are never recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from enum import StrEnum
from time import monotonic
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

from synthbench.contracts.attempt_key import AttemptClaims
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.llm_gateway.domain.prepared_request import PreparedRequest
from synthbench.llm_gateway.recordings.answer_numbers import AnswerNumberStore
from synthbench.llm_gateway.recordings.domain.recording import RecordingKey, request_digest
from synthbench.llm_gateway.recordings.replayed_answer import ReplayedAnswer
from synthbench.llm_gateway.recordings.store import CompletedAnswer, RecordingStore, StoredAnswer
from synthbench.wire.failures import TryFailed, timed_out
from synthbench.wire.providers import Provider, ProviderResponse

RETRIED = "x-stainless-retry-count"
"""Header in which the official SDKs say how often they asked before."""


class RecordingMode(StrEnum):
    """The ways to use recordings; see `recording` in the settings."""

    OFF = "off"
    ON = "on"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"


class RecordingSession:
    """The recording of one try. This one neither records nor replays; it is an async context manager as the other."""

    recorded = False
    """Whether the answer comes from a recording, and costs nothing."""
    number: int | None = None
    """Number of this answer among the attempt's answers to the same request, from 0; None where it is not counted."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        """The provider that answers this try: a recording, or the one that was given."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the session."""

    def observe(self, response: ProviderResponse) -> ProviderResponse:
        """Return the response, whose bytes are copied as they are read where the try is recorded."""
        return response

    async def save(self) -> None:
        """Store the answer, which was whole, where the try is recorded."""


class CallRecorder:
    """Opens the recording session of each try.

    Args:
        mode: of the deployment.
        recordings: the store of answers.
        numbers: tells answers to the same request apart.
    """

    def __init__(self, mode: RecordingMode, recordings: RecordingStore, numbers: AnswerNumberStore) -> None:
        self.mode = mode
        self.recordings = recordings
        self.numbers = numbers
        self._locks: WeakValueDictionary[RecordingKey, asyncio.Lock] = WeakValueDictionary()

    def session(
        self,
        claims: AttemptClaims,
        headers: Mapping[str, str],
        model: str,
        provider: Provider,
        prepared: PreparedRequest,
        deadline: float,
    ) -> RecordingSession:
        """Open the session of one try, an async context manager that looks for a recording when it is entered.

        Args:
            claims: of the attempt.
            headers: of the caller.
            model: as the catalogue calls it, or `replay/` before that.
            provider: answers where no recording does.
            prepared: the request as the provider gets it.
            deadline: of the monotonic clock.
        """
        only = model.startswith(REPLAY_PREFIX)
        if provider.free or (self.mode is RecordingMode.OFF and not only):
            return RecordingSession(provider)
        mode = RecordingMode.READ_ONLY if only else self.mode
        name = model.removeprefix(REPLAY_PREFIX)
        key = RecordingKey(name, request_digest(provider.wire, name, prepared.request), claims.seed)
        again = headers.get(RETRIED, "0") != "0"
        return ActiveRecordingSession(self, mode, provider, key, claims, prepared.body, deadline, again=again)

    def lock(self, key: RecordingKey) -> asyncio.Lock:
        """Return the lock of a recording: a second call for it waits, and then finds the answer of the first one."""
        return self._locks.setdefault(key, asyncio.Lock())


class ActiveRecordingSession(RecordingSession):
    """The recording of one try that is looked up, recorded, or both."""

    def __init__(
        self,
        recorder: CallRecorder,
        mode: RecordingMode,
        provider: Provider,
        key: RecordingKey,
        claims: AttemptClaims,
        request: bytes,
        deadline: float,
        *,
        again: bool,
    ) -> None:
        super().__init__(provider)
        self._recorder = recorder
        self._mode = mode
        self._key = key
        self._claims = claims
        self._request = request
        self._deadline = deadline
        self._again = again
        self._lock: asyncio.Lock | None = None
        self._body = bytearray()
        self._stream = False

    async def __aenter__(self) -> Self:
        """Take a number, and look for the recording.

        Raises:
            Refusal: only a recording will do, and there is none that can be read.
            TryFailed: another call for the same answer took all the time.
        """
        number = await self._recorder.numbers.take(self._claims, self._key.request, again=self._again)
        self._key = RecordingKey(self._key.model, self._key.request, self._key.sample, number)
        self.number = number
        try:
            await self._look()
        except BaseException:
            await self._give_back()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the number of an answer that did not come to the next try."""
        if error is not None:
            await self._give_back()
        self._release()

    async def _look(self) -> None:
        recordings = self._recorder.recordings
        if self._mode is RecordingMode.WRITE_ONLY:
            return
        if self._mode is RecordingMode.READ_ONLY:
            found: StoredAnswer | None = await recordings.read(self._key)
        else:
            await self._wait()
            found = await recordings.find(self._key)
        if found is not None:
            self._release()
            self.recorded = True
            self.provider = ReplayedAnswer(found.recording, found.body)

    async def _wait(self) -> None:
        lock = self._recorder.lock(self._key)
        try:
            async with asyncio.timeout(self._deadline - monotonic()):
                await lock.acquire()
        except TimeoutError as error:
            raise TryFailed(timed_out("another call for the same answer did not end")) from error
        self._lock = lock

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _give_back(self) -> None:
        """Give the number back; not where the caller asks again, whose first question may have an answer."""
        self._release()
        if not self._again:
            await self._recorder.numbers.give_back(self._claims, self._key.request, self._key.number)

    def observe(self, response: ProviderResponse) -> ProviderResponse:
        """Return the response, whose bytes are copied as they are read unless it comes from a recording."""
        if not self.recorded:
            self._stream = response.pieces is not None
            self._body += response.body
            if response.pieces is not None:
                response.pieces = self._copied(response.pieces)
        return response

    async def _copied(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._body += piece
            yield piece

    async def save(self) -> None:
        """Store the answer, which was whole, unless it comes from a recording."""
        if not self.recorded:
            provider = self.provider
            answer = CompletedAnswer(provider.name, provider.wire, self._request, bytes(self._body), self._stream)
            await self._recorder.recordings.keep(self._key, answer)
