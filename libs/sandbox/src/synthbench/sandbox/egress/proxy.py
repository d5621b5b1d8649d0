"""One connection from inside: CONNECT for TLS, and plain HTTP with a whole URL.

What is sent on is written anew from what h11 understood, one request a connection, so that no second reading of it can
differ (request smuggling), and with the Host of the URL that was checked. A tunnel begins with a TLS greeting that asks
for the name that was checked, or ends.
"""

import asyncio
import re
from contextlib import suppress
from typing import Any

import h11

from synthbench.sandbox.domain.reach import host_name
from synthbench.sandbox.egress.http_connection import CHUNK, HttpConnection
from synthbench.sandbox.egress.sandbox_egress import HostRefused, HostUnreachable, SandboxEgress, TrafficSpent
from synthbench.sandbox.egress.tls_hello import NotTls, server_name

TLS_PORT = 443
_LINGER_SECONDS = 1.0
_URL = re.compile(rb"http://([^/?#@\\\s:]+)(?::(\d{1,5}))?([/?][!-~]*)?", re.IGNORECASE)
_AUTHORITY = re.compile(rb"([^/?#@\\\s:]+):(\d{1,5})")
_LITERAL = re.compile(rb"(?:http://)?(\[[0-9a-fA-F:.%]*\](?::\d{1,5})?)")
_OURS = frozenset(
    b"host connection keep-alive proxy-connection proxy-authorization proxy-authenticate te trailer upgrade "
    b"expect".split()
)
"""Headers between us and one peer; the rest is between the two ends. Source: RFC 9110 section 7.6.1."""


class BadRequest(Exception):
    """The bytes are no request to a proxy."""


async def serve(lane: SandboxEgress, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Serve a connection until it ends."""
    client = HttpConnection(h11.SERVER, streams, lane.spend, lane.patience.idle)
    try:
        async with asyncio.timeout(lane.patience.life):
            while await _one(lane, client):
                client.http.start_next_cycle()
    except (h11.RemoteProtocolError, BadRequest) as error:
        await _answer(client, 400, str(error) or "that is no request to a proxy")
    except (h11.LocalProtocolError, TrafficSpent, TimeoutError, OSError):
        pass  # the client, or whom it asked, has gone or says nothing
    finally:
        client.close()


async def _one(lane: SandboxEgress, client: HttpConnection) -> bool:
    """Serve one request; return whether another may follow."""
    request = await client.event(lane.patience.head)
    if not isinstance(request, h11.Request):
        return False
    try:
        if request.method == b"CONNECT":
            await _tunnel(lane, client, *_authority(request.target))
            return False
        await _forward(lane, client, request)
    except HostRefused as refused:
        lane.refuse(refused)
        await _answer(client, 403, str(refused))
    except HostUnreachable as error:
        await _answer(client, 502, str(error))
    return client.http.our_state is h11.DONE and client.http.their_state is h11.DONE


def _authority(target: bytes) -> tuple[str, int]:
    match = _AUTHORITY.fullmatch(target)
    return _checked(match, target)


def _checked(match: "re.Match[bytes] | None", target: bytes) -> tuple[str, int]:
    """The name and port of a target; an address is refused like any host that is not allowed."""
    if match is None:
        if literal := _LITERAL.match(target):
            raise HostRefused(literal[1].decode(), "addresses are not reached, only names")
        raise BadRequest("this is a proxy: CONNECT name:port, or a whole http:// URL")
    given, port = match[1].decode("ascii", "replace"), int(match[2] or b"80")
    host = host_name(given)
    if host is None:
        raise HostRefused(f"{given}:{port}"[:100], "addresses are not reached, only names")
    if not 0 < port < 65536:
        raise BadRequest("no such port")
    return host, port


async def _answer(client: HttpConnection, status: int, text: str) -> None:
    """A word of our own."""
    if client.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    body = f"synth-bench: {text}\n".encode()
    headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body))),
               ("connection", "close")]  # fmt: skip
    with suppress(h11.LocalProtocolError, TrafficSpent, TimeoutError, OSError):
        await client.say(h11.Response(status_code=status, headers=headers, reason=b"Egress"))
        await client.say(h11.Data(data=body))
        await client.say(h11.EndOfMessage())
        client.writer.write_eof()
        async with asyncio.timeout(_LINGER_SECONDS):  # a close with unread bytes would take the answer back
            while await client.reader.read(CHUNK):
                pass


async def _forward(lane: SandboxEgress, client: HttpConnection, request: h11.Request) -> None:
    """Send a request on, and its answer back."""
    match = _URL.fullmatch(request.target)
    host, port = _checked(match, request.target)
    assert match is not None
    path = match[3] or b"/"
    server = HttpConnection(h11.CLIENT, await lane.connect(host, port), lane.spend, lane.patience.idle)
    try:
        authority = host if port == 80 else f"{host}:{port}"
        headers = [(b"host", authority.encode()), *_passed_on(request.headers), (b"connection", b"close")]
        await server.say(
            h11.Request(method=request.method, target=path if path[:1] == b"/" else b"/" + path, headers=headers)
        )
        upload = asyncio.create_task(_body(client, server))
        try:
            await _response(client, server, request)
        finally:
            upload.cancel()
            await asyncio.gather(upload, return_exceptions=True)
    except h11.RemoteProtocolError as error:
        raise HostUnreachable(f"{host}:{port} does not answer in HTTP") from error
    except OSError as error:
        raise HostUnreachable(f"{host}:{port} hung up") from error
    finally:
        server.close()


def _passed_on(headers: Any) -> list[tuple[bytes, bytes]]:
    """Headers for the other end; of two framings the one that h11 went by."""
    named = {name.strip().lower() for key, value in headers if key == b"connection" for name in value.split(b",")}
    kept = [(key, value) for key, value in headers if key not in _OURS and key not in named]
    if any(key == b"transfer-encoding" for key, _ in kept):
        kept = [(key, value) for key, value in kept if key != b"content-length"]
    return kept


async def _body(client: HttpConnection, server: HttpConnection) -> None:
    """Carry what the client sends. Where it breaks off all ends; a server that takes no more may still answer."""
    try:
        if client.http.they_are_waiting_for_100_continue:
            await client.say(h11.InformationalResponse(status_code=100, headers=[]))
        event = None
        while not isinstance(event, h11.EndOfMessage):
            event = await client.event()
            if not isinstance(event, h11.Data | h11.EndOfMessage):
                server.close()
                return
            try:
                await server.say(event)
            except OSError:
                return
    except (h11.RemoteProtocolError, h11.LocalProtocolError, TrafficSpent, OSError):
        server.close()


async def _response(client: HttpConnection, server: HttpConnection, request: h11.Request) -> None:
    while True:
        event = await server.event()
        if isinstance(event, h11.Response):
            await client.say(
                h11.Response(status_code=event.status_code, reason=event.reason, headers=_passed_on(event.headers))
            )
        elif isinstance(event, h11.Data):
            await client.say(h11.Data(data=event.data))
        elif isinstance(event, h11.EndOfMessage):
            await client.say(h11.EndOfMessage())
            return
        elif not isinstance(event, h11.InformationalResponse):
            raise OSError(f"{request.target!r} was not answered")


async def _tunnel(lane: SandboxEgress, client: HttpConnection, host: str, port: int) -> None:
    if port == 80:
        raise HostRefused(f"{host}:{port}", "a tunnel to port 80 could ask for any host; send plain requests")
    server_streams = await lane.connect(host, port)
    server = HttpConnection(h11.CLIENT, server_streams, lane.spend, lane.patience.idle)
    try:
        await client.say(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        await server.put(await _greeting(client, host, port, lane.patience.head))
        await _both_ways(client, server, lane.patience.idle)
    finally:
        server.close()


async def _greeting(client: HttpConnection, host: str, port: int, seconds: float) -> bytes:
    """Return the first bytes of a tunnel: to port 443 they must be a TLS greeting for the requested host.

    Raises:
        HostRefused: for another, or no TLS. Too late to tell the client: its connection ends.
    """
    data = bytes(client.http.trailing_data[0])
    if port != TLS_PORT:
        return data
    try:
        async with asyncio.timeout(seconds):
            whole, name = server_name(data) if data else (False, None)
            while not whole:
                data += (more := await client.reader.read(CHUNK))
                whole, name = server_name(data if more else b"")
    except NotTls:
        raise HostRefused(f"{host}:{port}", "it was not spoken to in TLS") from None
    if name is None or host_name(name) != host:
        raise HostRefused(f"{name or 'no name'}:{port}", f"asked for by TLS inside a tunnel to {host}")
    return data


async def _both_ways(client: HttpConnection, server: HttpConnection, idle: float) -> None:
    moved = asyncio.get_running_loop().time()

    async def carry(source: HttpConnection, sink: HttpConnection) -> None:
        nonlocal moved
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(moved + idle):
                    data = await source.reader.read(CHUNK)
            except TimeoutError:
                if loop.time() - moved < idle:
                    continue  # the other direction is at work
                raise
            moved = loop.time()
            if not data:
                break
            await sink.put(data)
        with suppress(OSError):
            sink.writer.write_eof()

    ways = [asyncio.create_task(carry(client, server)), asyncio.create_task(carry(server, client))]
    try:
        done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        for way in done:
            way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
