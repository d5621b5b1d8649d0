"""The process of the proxy: `python -m synthbench.sandbox.egress DESCRIPTOR KNOWN`.

It is told on a socket which listeners to serve, each with its descriptor, and ends when nobody holds the other end.
What it reads was written by hostile code: it has a process of its own, and as root gives that up first.
"""

import asyncio
import codecs
import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from synthbench.sandbox.domain.reach import ANYWHERE, Network, parse_allowed, parse_known
from synthbench.sandbox.egress.proxy import serve
from synthbench.sandbox.egress.sandbox_egress import BYTES, HostRefused, SandboxEgress

_NOBODY = 65534
_PR_SET_NO_NEW_PRIVS = 38
_WORD = 65536
_LOOKUPS = 16  # names resolved at once
_PAUSE = 0.2  # seconds after an accept that failed for want of descriptors


@dataclass
class _Served:
    """A listener inside a sandbox that this process serves."""

    lane: SandboxEgress
    listener: socket.socket
    tasks: set["asyncio.Task[None]"] = field(default_factory=set["asyncio.Task[None]"])
    connections: int = 0


class _Process:
    def __init__(self, control: socket.socket, known: Mapping[str, Network], lookups: ThreadPoolExecutor) -> None:
        self._lookups = lookups
        self._control = control
        self._known = known
        self._served: dict[int, _Served] = {}
        self._over = asyncio.Event()

    async def run(self) -> None:
        self._control.setblocking(False)
        loop = asyncio.get_running_loop()
        loop.set_default_executor(self._lookups)
        loop.add_reader(self._control, self._hear)
        await self._over.wait()
        for number in tuple(self._served):
            await self._close(number)

    def _hear(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _WORD, 1)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._control)
            self._over.set()
            return
        word: dict[str, Any] = json.loads(data)
        if descriptors:
            self._open(int(word["open"]), word["hosts"], socket.socket(fileno=descriptors[0]))
        else:
            self._closing = asyncio.ensure_future(self._close(int(word["close"])))

    def _open(self, number: int, hosts: list[str] | None, listener: socket.socket) -> None:
        def refused(one: HostRefused) -> None:
            self._tell({"lane": number, "refused": one.host, "why": one.why})

        rules = ANYWHERE if hosts is None else [parse_allowed(host) for host in hosts]
        listener.setblocking(False)
        served = self._served[number] = _Served(SandboxEgress(rules, self._known, refused), listener)
        self._spawn(served, self._accept(served))

    async def _accept(self, served: _Served) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await served.lane.connections.acquire()
            try:
                connection, _ = await loop.sock_accept(served.listener)
            except OSError:
                served.lane.connections.release()
                await asyncio.sleep(_PAUSE)
                continue
            served.connections += 1
            self._spawn(served, self._serve(served.lane, connection))

    async def _serve(self, lane: SandboxEgress, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            reader = asyncio.StreamReader(limit=_WORD)
            protocol = asyncio.StreamReaderProtocol(reader)
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection)
            await serve(lane, (reader, asyncio.StreamWriter(transport, protocol, reader, loop)))
        finally:
            lane.connections.release()

    @staticmethod
    def _spawn(served: _Served, work: Any) -> None:
        task = asyncio.create_task(work)
        served.tasks.add(task)
        task.add_done_callback(served.tasks.discard)

    async def _close(self, number: int) -> None:
        served = self._served.pop(number, None)
        if served is None:
            return
        served.listener.close()
        for task in tuple(served.tasks):
            task.cancel()
        await asyncio.gather(*served.tasks, return_exceptions=True)
        self._tell({"lane": number, "bytes": BYTES - served.lane.bytes_left, "connections": served.connections})

    def _tell(self, word: Mapping[str, Any]) -> None:
        with suppress(OSError):
            self._control.send(json.dumps(word).encode())


def main() -> None:
    """Serve until the other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    known = parse_known(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's; the executor ends us in its own time
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    codecs.lookup("idna")  # getaddrinfo wants it, when no file can be read any more
    lookups = ThreadPoolExecutor(_LOOKUPS)  # made here: its module could not be read later, either
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    asyncio.run(_Process(control, known, lookups).run())


if __name__ == "__main__":
    main()
