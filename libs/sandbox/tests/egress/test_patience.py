"""Nobody keeps the proxy waiting: each wait has its end, here after a fraction of a second."""

import asyncio
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from synthbench.sandbox.domain.reach import Network, parse_allowed, parse_known
from synthbench.sandbox.egress import proxy
from synthbench.sandbox.egress.proxy import serve
from synthbench.sandbox.egress.sandbox_egress import EgressTimeouts, HostRefused, SandboxEgress

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SHORT = 0.3
LONG = 30.0
SOON = 5.0
KNOWN = parse_known("up.test=127.0.0.1")


def patience(**short: float) -> EgressTimeouts:
    """Everything may last, but for what is named."""
    return EgressTimeouts(**({"head": LONG, "lookup": LONG, "connect": LONG, "idle": LONG, "life": LONG} | short))


@asynccontextmanager
async def listening(handler: Callable[..., Awaitable[None]]) -> AsyncGenerator[int]:
    """A server, whose connections are all over when this ends."""
    served: list[asyncio.Task[None]] = []

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(
        lambda *streams: served.append(asyncio.create_task(one(*streams))), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(asyncio.gather(*served), SOON)


@asynccontextmanager
async def through(
    port: int, patient: EgressTimeouts, known: dict[str, Network] | None = None
) -> AsyncGenerator[Streams]:
    """A client of the proxy, which may reach up.test at the port."""
    refused: list[HostRefused] = []
    lane = SandboxEgress(
        [parse_allowed(f"up.test:{port}")], KNOWN if known is None else known, refused.append, patience=patient
    )

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(lane, (reader, writer))

    async with listening(served) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here)
        yield reader, writer
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What was said until the end, which comes when the patience does."""
    began = time.monotonic()
    async with asyncio.timeout(SOON):
        said = await reader.read()
    assert time.monotonic() - began > SHORT / 2, "that was no patience at all"
    return said


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    with suppress(OSError):
        while await reader.read(65536):
            pass


async def chatty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Never stops."""
    with suppress(OSError):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)


async def test_a_client_that_says_nothing():
    async with through(1, patience(head=SHORT)) as (reader, _):
        assert await ended(reader) == b""


async def test_a_client_whose_head_drips():
    async with through(1, patience(head=SHORT)) as (reader, writer):

        async def drip() -> None:
            for letter in b"GET http://up.test:1/" + b"a" * 10_000:
                writer.write(bytes([letter]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await ended(reader) == b""
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_an_upstream_that_hangs():
    async with listening(silent) as port, through(port, patience(idle=SHORT)) as (reader, writer):
        writer.write(f"GET http://up.test:{port}/ HTTP/1.1\r\nHost: up.test\r\n\r\n".encode())
        assert (await ended(reader)).startswith(b"HTTP/1.1 502 ")


async def test_an_upstream_that_does_not_take_the_connection():
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        first.connect(full.getsockname())  # fills the queue: the kernel lets all others wait
        async with through(port, patience(connect=SHORT)) as (reader, writer):
            writer.write(f"CONNECT up.test:{port} HTTP/1.1\r\nHost: up.test:{port}\r\n\r\n".encode())
            said = await ended(reader)
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b"does not answer" in said


async def test_a_name_that_is_long_in_looking_up(monkeypatch: pytest.MonkeyPatch):
    async def slow(*_: Any, **__: Any) -> None:
        await asyncio.sleep(LONG)

    async with through(443, patience(lookup=SHORT), known={}) as (reader, writer):
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", slow)
        writer.write(b"CONNECT up.test:443 HTTP/1.1\r\nHost: up.test:443\r\n\r\n")
        said = await ended(reader)
    assert said.startswith(b"HTTP/1.1 502 ")
    assert b"up.test has no address" in said


async def test_a_tunnel_without_a_greeting(monkeypatch: pytest.MonkeyPatch):
    async with listening(silent) as port, through(port, patience(head=SHORT)) as (reader, writer):
        monkeypatch.setattr(proxy, "TLS_PORT", port)
        writer.write(f"CONNECT up.test:{port} HTTP/1.1\r\nHost: up.test:{port}\r\n\r\n".encode())
        said = await ended(reader)
    assert said.startswith(b"HTTP/1.1 200 ")


async def test_a_tunnel_in_which_nothing_moves():
    async with listening(silent) as port, through(port, patience(idle=SHORT)) as (reader, writer):
        writer.write(f"CONNECT up.test:{port} HTTP/1.1\r\nHost: up.test:{port}\r\n\r\nhello".encode())
        said = await ended(reader)
    assert said.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("asked", ["GET http://up.test:{port}/ HTTP/1.1", "CONNECT up.test:{port} HTTP/1.1"])
async def test_a_connection_that_is_never_idle_ends_too(asked: str):
    async with listening(chatty) as port, through(port, patience(life=SHORT, idle=SHORT)) as (reader, writer):
        writer.write(f"{asked.format(port=port)}\r\nHost: up.test:{port}\r\n\r\n".encode())
        said = await ended(reader)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"x" in said
