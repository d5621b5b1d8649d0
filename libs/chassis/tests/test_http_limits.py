"""What a listener's callers may take of a process, over real sockets."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from synthbench.chassis.http_limits import HttpLimits
from synthbench.chassis.listener import Listener
from synthbench.contracts.json_limits import JsonLimits

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = b"POST / HTTP/1.1\r\nhost: h\r\n"


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers how long the body is."""
    count, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        count, more = count + len(message["body"]), message["more_body"]
    body = b"%d" % count
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(app: ASGIApp = length, **limits: object) -> AsyncGenerator[int]:
    listener = Listener(app, limits=HttpLimits(**limits))  # pyright: ignore[reportArgumentType] - of any kind
    yield await listener.serve("127.0.0.1", 0)
    await listener.close(1)


async def answered(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the connection ends, or nothing comes for three seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    return await answer_to((reader, writer), *pieces, pause=pause)


async def answer_to(streams: Streams, *pieces: bytes, pause: float = 0.0) -> bytes:
    reader, writer = streams
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(3):
            return await reader.read()
    except (ConnectionError, TimeoutError) as error:
        return type(error).__name__.encode()
    finally:
        writer.close()


def post(body: bytes) -> bytes:
    return HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("start", [b"", b"POST / HT", HEAD, b"\r\n" * 20])
async def test_a_head_that_does_not_come_ends_the_connection(start: bytes):
    async with listening(head_seconds=1) as port:
        began = time.monotonic()
        assert await answered(port, start) == b""
        assert time.monotonic() - began < 2.9


async def test_a_head_in_drops_ends_the_connection_too():
    async with listening(head_seconds=1) as port:
        assert b"200" not in await answered(port, *[b"%c" % byte for byte in post(b"")], pause=0.1)


async def test_after_an_answer_the_next_head_is_waited_for_no_longer():
    async with listening(head_seconds=1) as port:
        streams = await asyncio.open_connection("127.0.0.1", port)
        streams[1].write(HEAD + b"\r\n")
        await streams[0].readuntil(b"\r\n\r\n0")
        assert await answer_to(streams, *[b"\r\n"] * 40, pause=0.1) in (b"", b"ConnectionResetError")


async def test_a_body_that_does_not_come_ends_the_connection():
    async with listening(body_seconds=1) as port:
        assert await answered(port, HEAD + b"content-length: 5\r\n\r\nab") == b""


async def test_an_app_that_reads_slowly_is_not_the_callers_fault():
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(2.5)
        await length(scope, receive, send)

    async with listening(slow, body_seconds=1, head_seconds=1) as port:
        assert (await answered(port, post(b"x" * 3_000_000))).endswith(b"3000000")


@pytest.mark.parametrize(
    "head", [b"GET /" + b"x" * 90_000 + b" HTTP/1.1\r\n\r\n", HEAD + b"a: b\r\n" * 20_000 + b"\r\n"]
)
async def test_a_long_head_is_refused(head: bytes):
    async with listening() as port:
        assert (await answered(port, head)).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


async def test_one_header_without_end_is_refused_behind_a_running_request_too():
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(60)

    async with listening(never) as port:
        pieces = [HEAD + b"\r\n", HEAD + b"a: ", *[b"b" * 10_000] * 30]
        assert await answered(port, *pieces, pause=0.01) in (b"", b"ConnectionResetError", b"BrokenPipeError")


async def test_too_many_requests_in_a_row_are_refused():
    async with listening() as port:
        assert (await answered(port, (HEAD + b"\r\n") * 1000)).count(b"200 OK") < 100


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"x" * 70_000, b"larger than 65536 bytes"),
        (b"[" + b"0," * 20_000 + b"0]", b"commas, colons and brackets"),
        (b"[" * 5_000, b"nested deeper"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_too_much_is_refused_and_the_refusal_is_heard(body: bytes, says: bytes, chunked: bool):
    whole = HEAD + b"transfer-encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    limits = JsonLimits(marks=10_000, depth=50)
    async with listening(body_bytes=65_536, json=limits, json_from_bytes=1000) as port:
        answer = await answered(port, whole if chunked else post(body))
        assert answer.startswith(b"HTTP/1.1 413")
        assert says in answer
        assert b"content-type: application/json\r\n" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"].startswith("the body")


async def test_a_body_in_single_bytes_is_refused():
    async with listening() as port:
        pieces = HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 100_000 + b"0\r\n\r\n"
        assert (await answered(port, pieces)).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("text", ['"[{,:}]"\\' * 100_000, "é\\u0000" * 100_000])
async def test_a_large_body_of_text_passes(text: str):
    body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
    async with listening(json_from_bytes=0) as port:
        assert (await answered(port, post(body))).endswith(b"%d" % len(body))


async def test_beyond_the_room_connections_wait_and_are_served_in_their_turn():
    async with listening(connections=3) as port:
        holders = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        late = asyncio.create_task(answered(port, post(b"x")))
        await asyncio.sleep(0.5)
        assert not late.done()
        holders[0][1].close()
        assert (await late).startswith(b"HTTP/1.1 200")
        for _, writer in holders:
            writer.close()


async def test_who_takes_nothing_of_an_answer_loses_the_connection():
    ended = asyncio.Event()

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        ended.set()

    async with listening(much, answer_seconds=1) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=10)
        writer.write(HEAD + b"\r\n")
        await asyncio.wait_for(ended.wait(), 5)  # sending to a lost connection does nothing, and ends
        writer.close()


async def test_all_callers_of_a_paced_listener_share_its_pace():
    async with listening(bytes_a_second=1_000_000.0, burst_bytes=500_000.0) as port:
        began = time.monotonic()
        answers = await asyncio.gather(*[answered(port, post(b"x" * 600_000)) for _ in range(3)])
        assert all(answer.endswith(b"600000") for answer in answers)
        assert 1.0 < time.monotonic() - began < 6


FULL_TABLE = """
import asyncio, json, os, resource, socket, sys, time
from synthbench.chassis.http_limits import HttpLimits
from synthbench.chassis.listener import Listener

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

async def main():
    near, far = socket.socket(socket.AF_UNIX), "\\0guard-test-%d" % os.getpid()
    near.bind(far)
    listener = Listener(app)
    listener.serve_on(near)
    await asyncio.sleep(0.2)
    callers = [socket.socket(socket.AF_UNIX) for _ in range(60)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))
    for caller in callers:
        caller.setblocking(False)
        caller.connect(far)
    began = time.process_time()
    await asyncio.sleep(3)
    spent = time.process_time() - began
    for caller in callers[:30]:
        caller.close()
    last = callers[-1]
    last.send(b"GET / HTTP/1.1\\r\\nhost: h\\r\\n\\r\\n")
    answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(last, 100), 10)
    print(json.dumps({"cpu": spent, "answer": answer[:12].decode()}))
    await listener.close(1)

asyncio.run(main())
"""


async def test_a_full_table_of_descriptors_costs_nothing_and_passes():
    ran = subprocess.run([sys.executable, "-c", FULL_TABLE], capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["answer"] == "HTTP/1.1 204"
    assert found["cpu"] < 0.5
    assert len(ran.stderr) + len(ran.stdout) < 5000
