"""An answer that comes in pieces: passed on as it comes, and kept whole. Pure."""

import re

from synthbench.contracts.json_limits import JsonLimits, JsonMeter, TooMuchJson
from synthbench.contracts.loose import as_list, as_object
from synthbench.wire.agent_request import AgentRequest
from synthbench.wire.sse import DONE, Splitter, SseEvent

_ANSWER_MOST = _EVENT_MOST = 64 * 1024 * 1024
ANSWER_JSON = JsonLimits(marks=2_000_000)
"""Limits of the JSON of one answer, its events together."""
_COST = re.compile(rb"^: cost-microusd=(\d+) cost-known=(true|false)\r?$", re.MULTILINE)
"""The comment in which the gateway reports the cost, just before the end mark."""


class PassedStream:
    """A streamed answer on its way from the gateway to an agent.

    Args:
        request: what it answers.
    """

    def __init__(self, request: AgentRequest) -> None:
        self._request = request
        self._splitter = Splitter(_EVENT_MOST)
        self.raw = bytearray()
        self._marks_left = ANSWER_JSON.marks
        self.whole = False
        """Whether its end mark came."""
        self.readable = True
        """Whether what came is small enough to be parsed."""

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; return what the agent gets of it: whole events, without a usage that it did not ask for.

        Raises:
            ValueError: the answer is larger than it may be; what was taken before stays.
        """
        if len(self.raw) + len(piece) > _ANSWER_MOST:
            raise ValueError(f"the answer is larger than {_ANSWER_MOST} bytes")
        self.raw += piece
        events = self._splitter.feed(piece)
        return b"".join(event.raw for event in events if self._passes(event))

    def _passes(self, event: SseEvent) -> bool:
        if event.data == DONE:
            self.whole = True
            return True
        meter = JsonMeter(JsonLimits(self._marks_left))
        try:
            meter.feed(event.data)
        except TooMuchJson:
            self.readable = False
            raise
        self._marks_left -= meter.marks
        try:
            content = as_object(event.object())
        except ValueError:
            return True
        self.whole = self.whole or self._request.wire.is_end(event, content)
        return self._request.wants_usage or bool(as_list(content.get("choices"))) or not content.get("usage")

    @property
    def cost(self) -> tuple[int, bool]:
        """Millionths of a US dollar, and whether that is known."""
        found = _COST.search(bytes(self.raw))
        return (int(found[1]), found[2] == b"true") if found else (0, False)
