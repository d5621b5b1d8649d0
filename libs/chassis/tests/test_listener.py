"""The HTTP server, over real sockets."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from synthbench.chassis.health import Health
from synthbench.chassis.listener import Listener


async def in_two_writes(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    await send({"type": "http.response.body", "body": b"cd"})


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncGenerator[int]:
    listener = Listener(app)
    yield await listener.serve("127.0.0.1", 0)
    await listener.close(1)


async def test_an_answer_in_pieces_does_not_wait_for_the_callers_acknowledgements():
    """Linux delays them by 40 ms, but for the first ones of a connection: hence the last of many answers."""
    seconds: list[float] = []
    async with listening(in_two_writes) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(40):
            began = time.perf_counter()
            writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await reader.readuntil(b"abcd")
            seconds.append(time.perf_counter() - began)
        writer.close()
        await writer.wait_closed()
    assert min(seconds[-10:]) < 0.035


async def test_what_has_the_whole_root_leaves_the_process_its_own_paths():
    health = Health()
    health.mount("/", PlainTextResponse("app"), guarded=False)
    port = await health.serve("127.0.0.1", 0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.get("/livez")).text == "ok\n"
        assert (await client.get("/anything")).text == "app"
        health.mount("/api", PlainTextResponse("api"), guarded=False)
        assert (await client.get("/api/x")).text == "api"
        assert (await client.get("/anything")).text == "app"
    await health.close(1)
