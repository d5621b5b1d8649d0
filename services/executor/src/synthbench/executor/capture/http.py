"""An HTTP exchange with an agent, within what one sandbox may use of this process."""

import asyncio
import json
from contextlib import suppress

from starlette.types import Receive, Send

from synthbench.chassis.http_limits import HttpLimits
from synthbench.contracts.json_limits import JsonLimits, JsonMeter, TooMuchJson
from synthbench.wire.protocols import WireFormat
from synthbench.wire.refusal import Refusal

SANDBOX_LIMITS = HttpLimits(
    connections=64, body_seconds=60.0, answer_seconds=60.0, json=None, bytes_a_second=8 * 1024 * 1024.0
)
"""The limits of one sandbox's socket; JSON is limited apart, by the kind of the body."""
_BODY_SECONDS = 60.0
_JSON = "application/json"
_DROPPED_MOST = 64 * 1024 * 1024


def _refusal_of(size: int, piece: bytes, most: int, meter: JsonMeter) -> Refusal | None:
    if size > most:
        return Refusal(413, "request_too_large", f"the body is larger than {most} bytes")
    try:
        meter.feed(piece)
    except TooMuchJson as error:
        return Refusal(413, "request_too_large", f"the body's JSON: {error}")
    return None


class AgentHttp:
    """Reads one request, and answers it.

    Args:
        receive: of ASGI.
        send: of ASGI.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.started = False

    async def body(self, most: int, limits: JsonLimits) -> bytes:
        """Read the body; of one that does not come in time or breaks off, what came.

        Raises:
            Refusal: 413, it has more than `most` bytes, or its JSON is more than `limits`.
        """
        body, meter, refusal, left = bytearray(), JsonMeter(limits), None, _DROPPED_MOST
        with suppress(TimeoutError):
            async with asyncio.timeout(_BODY_SECONDS):
                while left > 0:
                    message = await self._receive()
                    piece: bytes = message.get("body", b"")
                    if refusal is None:
                        body += piece
                        refusal = _refusal_of(len(body), piece, most, meter)
                    else:  # read to its end and dropped: who is still sending does not hear a refusal
                        left -= len(piece)
                    if not message.get("more_body"):
                        break
        if refusal is not None:
            raise refusal
        return bytes(body)

    async def start(self, content_type: str, status: int = 200) -> None:
        """Begin the answer."""
        self.started = True
        head = [(b"content-type", content_type.encode("latin-1"))]
        await self._send({"type": "http.response.start", "status": status, "headers": head})

    async def write(self, data: bytes) -> None:
        """Send a piece of the answer."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """End the answer."""
        await self._send({"type": "http.response.body", "body": b""})

    async def answer(self, status: int, body: bytes, content_type: str = _JSON) -> None:
        """Send a whole answer."""
        await self.start(content_type, status)
        await self._send({"type": "http.response.body", "body": body})

    async def refuse(self, wire: WireFormat, refusal: Refusal) -> None:
        """Send an error, as the wire has it."""
        await self.answer(refusal.status, json.dumps(wire.refusal(refusal)).encode())
