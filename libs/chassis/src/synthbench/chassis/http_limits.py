"""Limits of one HTTP listener, so that no caller can take all of a process."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from synthbench.chassis.token_bucket import TokenBucket
from synthbench.contracts.json_limits import JsonLimits, JsonMeter, TooMuchJson

_PIECES, _PIECE_BYTES = 2000, 128
"""Beyond so many pieces of one body they have to have so many bytes on average: each costs a call."""
_LINGER_SECONDS = 10.0
_HEADER_BYTES = 32
"""A header counts as so many more than its letters: as in HTTP/2 (RFC 9113, section 6.5.2)."""


def _detail(_status: int, _path: str, text: str) -> object:
    return {"detail": text}


@dataclass(frozen=True)
class HttpLimits:
    """Limits of one listener; its connections share nothing with those of others."""

    connections: int = 4096
    """At once; more wait in the kernel's queue, which costs no descriptor."""
    head_seconds: float = 15.0
    """From a connection's beginning, or from the answer before, until a request's head is whole."""
    head_bytes: int = 64 * 1024
    """Of a request line with all headers and trailers."""
    body_seconds: float = 120.0
    """Until a body is whole; the time in which we take nothing of it is left out."""
    body_bytes: int = 64 * 1024 * 1024
    answer_seconds: float = 120.0
    """For which a caller may take nothing of an answer."""
    pipelined: int = 16
    """Requests of one connection that wait for the one before."""
    json: JsonLimits | None = field(default_factory=JsonLimits)
    """Of one body, for all that we are sent is JSON; None where the app counts it."""
    json_from_bytes: int = 64 * 1024
    """Shorter bodies of a known length are not counted: they can hold no more than so many values."""
    bytes_a_second: float | None = None
    """Of all connections together, in the long run; None where callers may send as they like."""
    burst_bytes: float = 64 * 1024 * 1024
    """That may come at once."""
    request_bytes: float = 64 * 1024
    """A request costs as much as so many bytes."""
    refusal: Callable[[int, str, str], object] = _detail
    """The JSON of an answer that refuses a request, by status, path (empty where it is not known) and text."""


class _TooMuch(Exception):
    """Raised inside the parser's callbacks to stop it."""


class _Flow(FlowControl):
    """Reads when the app takes what was read, and the pace allows it."""

    throttled = False
    stuck_since: float | None = None
    """Since when the other side takes nothing of an answer."""

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self._set_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._set_reading()

    def throttle(self, throttled: bool) -> None:
        self.throttled = throttled
        self._set_reading()

    def _set_reading(self) -> None:
        if self._transport.is_closing():
            return
        if self.read_paused or self.throttled:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.stuck_since = time.monotonic()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.stuck_since = None


class LimitedProtocol(HttpToolsProtocol):
    """One connection within the limits of its listener.

    Args:
        limits: of the listener.
        pace: shared by its connections; None where there is none.
        ended: called once, when the connection is gone.
    """

    def __init__(
        self, *given: Any, limits: HttpLimits, pace: TokenBucket | None, ended: Callable[[], None], **more: Any
    ) -> None:
        super().__init__(*given, **more)
        self._limits = limits
        self._pace = pace
        self._ended = ended
        self._phase = "head"
        """What is waited for: `head`, `body`, or nothing (`answer`)."""
        self._seconds = 0.0
        """So long, our own pauses left out."""
        self._closing_seconds = 0.0
        self._head_bytes = 0
        self._parsed = 0
        """Callbacks of the parser so far."""
        self._body_bytes = 0
        self._pieces = 0
        self._meter: JsonMeter | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as in uvicorn
        """Handle an event of the transport, as `asyncio.Protocol` describes it."""
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle an event of the transport, as `asyncio.Protocol` describes it."""
        super().connection_lost(exc)
        self._ended()

    def data_received(self, data: bytes) -> None:
        """Handle an event of the transport, as `asyncio.Protocol` describes it."""
        parsed = self._parsed
        super().data_received(data)
        if parsed == self._parsed:  # all of it belongs to one name or value that the parser still gathers
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(431, "the request's head is too long")
        if self._pace is not None and (wait := self._pace.spend(len(data))) > 0 and not self._flow.throttled:
            self._flow.throttle(throttled=True)
            self.loop.call_later(wait, self._flow.throttle, False)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._parsed += 1
        super().on_message_begin()
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request line."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer."""
        self._count_head(_HEADER_BYTES + len(name) + len(value))
        super().on_header(name, value)

    def _count_head(self, count: int) -> None:
        self._parsed += 1
        self._head_bytes += count
        if self._head_bytes > self._limits.head_bytes:
            raise _TooMuch

    def on_headers_complete(self) -> None:
        """The head of a request is whole."""
        self._wait_for("body")
        self._body_bytes = self._pieces = 0
        length = next((int(value) for name, value in self.headers if name == b"content-length" and value.isdigit()), -1)
        counted = not 0 <= length < self._limits.json_from_bytes
        self._meter = JsonMeter(self._limits.json) if self._limits.json and counted else None
        if self._pace is not None:
            self._pace.spend(self._limits.request_bytes)
        super().on_headers_complete()
        if len(self.pipeline) > self._limits.pipelined:
            raise _TooMuch
        if length > self._limits.body_bytes:
            self._refuse(413, f"the body is larger than {self._limits.body_bytes} bytes")

    def on_body(self, body: bytes) -> None:
        """A piece of a body; of one that is refused the rest is read and dropped, so that the refusal is heard."""
        self._parsed += 1
        if self._refused or self.cycle.response_complete:
            return
        self._body_bytes += len(body)
        self._pieces += 1
        if self._body_bytes > self._limits.body_bytes:
            self._refuse(413, f"the body is larger than {self._limits.body_bytes} bytes")
        elif self._pieces > _PIECES + self._body_bytes // _PIECE_BYTES:
            self._refuse(400, "the body comes in too many pieces")
        else:
            try:
                if self._meter is not None:
                    self._meter.feed(body)
            except TooMuchJson as error:
                self._refuse(413, f"the body's JSON: {error}")
            else:
                super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._parsed += 1
        self._phase = "answer"
        if self._refused:
            self.transport.close()
            return
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """A request is answered."""
        if not self.pipeline and self._phase == "answer":
            self._wait_for("head")
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser gave up: no HTTP, or too much of it."""
        self._refuse(400, msg)
        self.transport.close()

    def _wait_for(self, phase: str) -> None:
        self._phase, self._seconds = phase, 0.0

    def _refuse(self, status: int, text: str) -> None:
        """Answer in the place of the app; an answer that is half out is broken off."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison] - None at first
            if self._phase != "body" or cycle.response_started or self.pipeline:
                self.transport.abort()
                return
            cycle.response_complete = cycle.disconnected = True
            cycle.message_event.set()
            self.flow.resume_reading()
        path = "" if self._phase == "head" else self.scope["path"]
        body = json.dumps(self._limits.refusal(status, path, text)).encode()
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        if self._phase != "body":
            self.transport.close()

    def look(self, seconds: float) -> None:
        """Called every so many seconds: end the connection if it has been waited for too long."""
        limits, flow = self._limits, self._flow
        if self.transport.is_closing():
            self._closing_seconds += seconds
        elif self._phase != "answer" and not (flow.read_paused or flow.throttled):
            self._seconds += seconds
        most = limits.head_seconds if self._phase == "head" else limits.body_seconds
        stuck = flow.stuck_since is not None and time.monotonic() - flow.stuck_since > limits.answer_seconds
        if self._seconds > most or stuck or self._closing_seconds > _LINGER_SECONDS:
            self.transport.abort()


def look_at_all(connections: Iterable[object], seconds: float) -> None:
    """End the connections of a listener that have been waited for too long."""
    for connection in list(connections):
        if isinstance(connection, LimitedProtocol):
            connection.look(seconds)
