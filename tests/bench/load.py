"""Callers that ask again as soon as they have their answer: raw sockets, so that they cost little beside a proxy."""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

CALLS_A_KEY = 50
"""After so many calls a caller goes on with the key of another attempt."""
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What so many callers got."""

    callers: int
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list[float])
    """Milliseconds, of every call."""

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """Of the latencies, in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


Ask = Callable[[int], Sequence[bytes]]
"""The bytes of a caller's next call, by its number."""


class Caller(asyncio.Protocol):
    """One connection, one call after the other.

    Args:
        ask: makes the calls.
        goes_on: asked before each call.
        taken: told the seconds that each one took.
    """

    def __init__(self, ask: Ask, goes_on: Callable[[], bool], taken: Callable[[float], None]) -> None:
        self._next = ask
        self._goes_on = goes_on
        self._taken = taken
        self._answer = bytearray()
        self._calls = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's class
        self._ask()

    def _ask(self) -> None:
        if not self._goes_on():
            self._transport.close()
            self.done.set_result(None)
            return
        request = self._next(self._calls)
        self._calls += 1
        self._began = time.perf_counter()
        self._transport.writelines(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        whole = _whole(self._answer)
        if whole is None:
            return
        self._taken(time.perf_counter() - self._began)
        if not whole:
            self._transport.close()
            self.done.set_exception(AssertionError(bytes(self._answer[:600])))
            return
        self._answer.clear()
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or AssertionError(f"closed in the middle of {bytes(self._answer[:600])}"))


def _whole(answer: bytearray) -> bool | None:
    """Whether an answer that is all there is a good one; None while it is not all there."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return None
    length = _LENGTH.search(answer, 0, head)
    if length is not None:
        if len(answer) < head + 4 + int(length[1]):
            return None
        return answer.startswith(b"HTTP/1.1 200") and b'"choices"' in answer
    if not answer.endswith(b"0\r\n\r\n"):
        return None
    return answer.startswith(b"HTTP/1.1 200") and b"[DONE]" in answer


@dataclass(frozen=True)
class Request:
    """What is asked, with a key that changes."""

    port: int
    body: bytes
    keys: Sequence[str]

    def of(self, caller: int) -> Ask:
        """The calls of one caller."""

        def made(call: int) -> Sequence[bytes]:
            key = self.keys[(caller * 7919 + call // CALLS_A_KEY) % len(self.keys)]
            head = (
                f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {key}\r\n"
                f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
            )
            return head.encode(), self.body

        return made


async def load(request: Request, callers: int, seconds: float, *, calls: int = 0) -> Load:
    """Let `callers` ask for so long (or at least for so many calls), and wait for the last answer.

    Raises:
        AssertionError: an answer was no good one; with its start.
    """
    found = Load(callers)
    began = time.perf_counter()

    def goes_on() -> bool:
        return time.perf_counter() - began < seconds or len(found.latencies) < calls

    loop = asyncio.get_running_loop()
    connections = [
        await loop.create_connection(
            lambda number=number: Caller(request.of(number), goes_on, lambda took: found.latencies.append(took * 1000)),
            "127.0.0.1",
            request.port,
        )
        for number in range(callers)
    ]
    await asyncio.gather(*(caller.done for _, caller in connections))
    found.seconds = time.perf_counter() - began
    return found
