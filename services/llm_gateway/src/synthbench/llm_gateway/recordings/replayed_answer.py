"""A recorded answer in the place of a provider."""

from collections.abc import AsyncIterator

import orjson

from synthbench.llm_gateway.recordings.domain.recording import Recording
from synthbench.wire.failures import TryFailed, unusable
from synthbench.wire.providers import ProviderRequest, ProviderResponse
from synthbench.wire.whole_answers import whole_of

_EVENT_END = b"\n\n"


class ReplayedAnswer:
    """Answers with a recording: a stream as a stream, a whole answer whole, or the one as the other."""

    free = True

    def __init__(self, recording: Recording, body: bytes) -> None:
        self.name = recording.provider
        self.wire: str = recording.wire
        self._stream = recording.stream
        self._body = body

    async def send(self, request: ProviderRequest) -> ProviderResponse:
        """Return the recorded answer. A whole one is made into a stream by its reader.

        Raises:
            TryFailed: the recording is no stream of its wire format.
        """
        if not self._stream:
            return ProviderResponse(200, self._body)
        if request.stream:
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
        """Return none: a recording is found by its request."""
        return []

    async def check(self) -> None:
        """Return: a recording can always answer."""

    async def aclose(self) -> None:
        """Return: no connection is open."""
