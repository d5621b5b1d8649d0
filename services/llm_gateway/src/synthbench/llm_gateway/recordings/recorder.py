"""Record and replay: which calls are answered from recordings, and which answers become some.

Between the gateway and the provider, so that either wire and both kinds of answer (whole, stream) share a recording.
Providers that are free answer anew as they always do, and are never recorded.
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
from synthbench.llm_gateway.recordings.answer_numbers import AnswerNumbers
from synthbench.llm_gateway.recordings.domain.recording import RecordingKey, request_digest
from synthbench.llm_gateway.recordings.replayed_answer import ReplayedAnswer
from synthbench.llm_gateway.recordings.store import CompletedAnswer, RecordingStore, StoredAnswer
from synthbench.wire.failures import TryFailed, timed_out
from synthbench.wire.providers import Provider, ProviderResponse

RETRIED = "x-stainless-retry-count"
"""How often the caller asked before, as the official SDKs say it."""


class RecordingMode(StrEnum):
    """What is done with recordings."""

    OFF = "off"
    ON = "on"
    READ_ONLY = "read-only"
    WRITE_ONLY = "write-only"


class RecordingSession:
    """One try that is neither recorded nor replayed."""

    recorded = False
    """The answer comes from a recording, and costs nothing."""
    number: int | None = None
    """Which answer of the attempt to the same request this one is; None where nobody counts."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        """Who answers this try."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to give back."""

    def hear(self, incoming: ProviderResponse) -> ProviderResponse:
        """Listen to what the provider says."""
        return incoming

    async def keep(self) -> None:
        """The answer was whole."""


class CallRecorder:
    """Makes the tape of each try.

    Args:
        mode: of the deployment.
        recordings: where answers lie.
        numbers: tells answers to the same request apart.
    """

    def __init__(self, mode: RecordingMode, recordings: RecordingStore, numbers: AnswerNumbers) -> None:
        self.mode = mode
        self.recordings = recordings
        self.numbers = numbers
        self._locks: WeakValueDictionary[RecordingKey, asyncio.Lock] = WeakValueDictionary()

    def tape(
        self,
        claims: AttemptClaims,
        headers: Mapping[str, str],
        model: str,
        provider: Provider,
        prepared: PreparedRequest,
        deadline: float,
    ) -> RecordingSession:
        """Make the tape of one try; it is an async context manager, and decides when it is entered.

        Args:
            claims: of the attempt.
            headers: of the caller.
            model: as the catalogue calls it, or `replay/` before that.
            provider: who would answer.
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
        """Of calls on their way here for the same recording: the second one shall find what the first one hears."""
        return self._locks.setdefault(key, asyncio.Lock())


class ActiveRecordingSession(RecordingSession):
    """One try that is looked up, recorded, or both."""

    def __init__(
        self,
        recorder: CallRecorder,
        mode: RecordingMode,
        provider: Provider,
        key: RecordingKey,
        claims: AttemptClaims,
        asked: bytes,
        deadline: float,
        *,
        again: bool,
    ) -> None:
        super().__init__(provider)
        self._recorder = recorder
        self._mode = mode
        self._key = key
        self._claims = claims
        self._asked = asked
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
        """What got no answer leaves its number to the next try."""
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
        """Where the caller asks again, the number is that of its first question, which may have an answer."""
        self._release()
        if not self._again:
            await self._recorder.numbers.give_back(self._claims, self._key.request, self._key.number)

    def hear(self, incoming: ProviderResponse) -> ProviderResponse:
        """See `RecordingSession`."""
        if not self.recorded:
            self._stream = incoming.pieces is not None
            self._body += incoming.body
            if incoming.pieces is not None:
                incoming.pieces = self._listening(incoming.pieces)
        return incoming

    async def _listening(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._body += piece
            yield piece

    async def keep(self) -> None:
        """See `RecordingSession`."""
        if not self.recorded:
            provider = self.provider
            heard = CompletedAnswer(provider.name, provider.wire, self._asked, bytes(self._body), self._stream)
            await self._recorder.recordings.keep(self._key, heard)
