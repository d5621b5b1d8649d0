"""One HTTP exchange with a caller, over ASGI."""

import asyncio
from collections.abc import Mapping

import orjson
from starlette.types import Message, Receive, Scope, Send

from synthbench.wire.protocols import WireFormat
from synthbench.wire.refusal import Refusal

_PASSED_ON = ("anthropic-version", "anthropic-beta", "openai-beta")


class HttpExchange:
    """Reads the request, and writes the answer, whole or as a stream."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers: Mapping[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.started = False
        self.gone = False
        self._receive = receive
        self._send = send
        self._watching: asyncio.Task[None] | None = None

    @property
    def key(self) -> str:
        """The attempt's key as a bearer token, from OpenAI's header or Anthropic's."""
        given = self.headers.get("authorization")
        return given or (f"Bearer {self.headers['x-api-key']}" if "x-api-key" in self.headers else "")

    @property
    def passed_on(self) -> dict[str, str]:
        """Headers that a provider gets as the caller wrote them.

        Raises:
            Refusal: 400, one has another character than ASCII's visible ones, which no provider is sent.
        """
        found = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        for name, value in found.items():
            if not (value.isascii() and value.isprintable()):
                raise Refusal(400, "invalid_request", f"{name}: visible ASCII characters, not {value[:80]!a}")
        return found

    async def body(self, most: int) -> bytes:
        """Read the whole request.

        Raises:
            Refusal: 413, it is larger than `most` bytes.
        """
        message = await self._receive()
        if not message.get("more_body"):
            return _within(message.get("body", b""), most)
        body = bytearray()
        while True:
            body += message.get("body", b"")
            _within(body, most)
            if not message.get("more_body"):
                return bytes(body)
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "invalid_request", "the request broke off")

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a whole JSON answer."""
        self.started = True
        await self._send(
            _head(status, {"content-type": "application/json", "content-length": str(len(body)), **headers})
        )
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, wire: WireFormat, refusal: Refusal) -> None:
        """Send an error, in the caller's wire; in a stream that began already, as its last event."""
        if self.started:
            await self.write(wire.stream_error(refusal))
            await self.end()
            return
        headers = {"x-synthbench-code": refusal.code, "x-synthbench-waited-seconds": f"{refusal.waited:.3f}"}
        if refusal.retry_after is not None:
            headers["retry-after"] = f"{max(1, round(refusal.retry_after))}"
        await self.answer(refusal.status, orjson.dumps(wire.refusal(refusal)), headers)

    async def start(self, headers: Mapping[str, str]) -> None:
        """Begin a stream, and watch whether the caller stays."""
        self.started = True
        self._watching = asyncio.create_task(self._watch())
        await self._send(
            _head(200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **headers})
        )

    async def write(self, data: bytes) -> None:
        """Send a piece of the stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End the stream."""
        if self._watching is not None:
            self._watching.cancel()
        await self._send({"type": "http.response.body", "body": b""})

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True


def _within(body: bytes | bytearray, most: int) -> bytes:
    if len(body) > most:
        raise Refusal(413, "request_too_large", f"the request is larger than {most} bytes")
    return bytes(body) if isinstance(body, bytearray) else body


def _head(status: int, headers: Mapping[str, str]) -> Message:
    pairs = [(name.encode("latin-1"), value.encode("latin-1", errors="replace")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}
