"""A model that answers before one can blink: raw sockets, canned answers, whole or as a stream; and a sink for traces.

`python instant.py PORT`. It is meant to be no part of what is measured: a bare `asyncio` protocol on uvloop that looks
for three things in a request (where its head ends, its length, whether it wants a stream) and reads nothing else.
Every event of a stream leaves in a packet of its own, as tokens do.
"""

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

EVENTS = 20
_WANTS_STREAM = re.compile(rb'"stream"\s*:\s*true')
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
_HEAD = {"id": "chat-1", "created": 0, "model": "instant"}
_USAGE = {"prompt_tokens": 1000, "completion_tokens": EVENTS, "total_tokens": 1000 + EVENTS}


def whole() -> bytes:
    message = {"role": "assistant", "content": "It rains. " * EVENTS}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = json.dumps({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def stream() -> list[bytes]:
    def event(body: object) -> bytes:
        data = b"data: " + (body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode())
        return b"%x\r\n%b\n\n\r\n" % (len(data) + 2, data)

    head = {**_HEAD, "object": "chat.completion.chunk"}
    said = {"index": 0, "delta": {"role": "assistant", "content": "It rains. "}, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        *[event({**head, "choices": [said]})] * EVENTS,
        event({**head, "choices": [end]}),
        event({**head, "choices": [], "usage": _USAGE}),
        event(b"[DONE]") + b"0\r\n\r\n",
    ]


WHOLE, STREAM = whole(), stream()
TAKEN = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"


class Model(asyncio.Protocol):
    """One connection; a caller waits for its answer before it asks again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's class
        self._seen = bytearray()
        self._ends = 0

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if not self._ends:
            head = self._seen.find(b"\r\n\r\n")
            if head < 0:
                return
            length = _LENGTH.search(self._seen, 0, head)
            self._ends = head + 4 + (int(length[1]) if length else 0)
        if len(self._seen) < self._ends:
            return
        traces = self._seen.startswith(b"POST /v1/traces")
        wants_stream = not traces and _WANTS_STREAM.search(self._seen)
        self._seen.clear()
        self._ends = 0
        if wants_stream:
            self._say(0)
        else:
            self._transport.write(TAKEN if traces else WHOLE)

    def _say(self, number: int) -> None:
        self._transport.write(STREAM[number])
        if number + 1 < len(STREAM):
            asyncio.get_running_loop().call_soon(self._say, number + 1)


async def main(port: int) -> None:
    await asyncio.get_running_loop().create_server(Model, "127.0.0.1", port, backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main(int(sys.argv[1])))
