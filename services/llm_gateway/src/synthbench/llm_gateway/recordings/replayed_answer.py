"""One recorded answer, as a provider."""

from collections.abc import AsyncIterator

import orjson

from synthbench.llm_gateway.recordings.domain.recording import Recording
from synthbench.wire.assembling import whole_of
from synthbench.wire.failures import TryFailed, unusable
from synthbench.wire.providers import ProviderRequest, ProviderResponse

_EVENT_END = b"\n\n"


class ReplayedAnswer:
    """Says what was said before: a stream as a stream, a whole answer whole, or the one as the other."""

    free = True

    def __init__(self, recording: Recording, body: bytes) -> None:
        self.name = recording.provider
        self.wire: str = recording.wire
        self._stream = recording.stream
        self._body = body

    async def send(self, outgoing: ProviderRequest) -> ProviderResponse:
        """See `Provider`. A whole answer is made into a stream by whoever reads it."""
        if not self._stream:
            return ProviderResponse(200, self._body)
        if outgoing.stream:
            return ProviderResponse(200, pieces=self._events())
        try:
            return ProviderResponse(200, orjson.dumps(whole_of(self.wire, self._body)))
        except (ValueError, RecursionError) as error:
            raise TryFailed(unusable(f"the recording is no stream of the {self.wire} wire: {error}")) from error

    async def _events(self) -> AsyncIterator[bytes]:
        for event in self._body.split(_EVENT_END):
            if event:
                yield event + _EVENT_END

    def models(self) -> list[str]:
        """It knows one answer."""
        return []

    async def check(self) -> None:
        """Always there."""

    async def aclose(self) -> None:
        """Nothing is open."""
