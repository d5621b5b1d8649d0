"""The way out of sandboxes with a network: a proxy outside, which each reaches at a port of its own loopback.

A sandbox never has an interface, a route or a name server. In its network namespace one socket listens, made before
any of its code ran; whatever connects there is accepted by the proxy's process, outside. So the listener is also who
the sandbox is: there is no token to steal. Each listener has its own allowlist.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, get_args

import structlog

from synthbench.sandbox.domain.reach import parse_known
from synthbench.sandbox.egress.sandbox_egress import REFUSED_MOST
from synthbench.sandbox.errors import SandboxError, SpecRefused
from synthbench.sandbox.host.metrics import BACKGROUND_FAILURES, EGRESS_BYTES, EGRESS_CONNECTIONS, EGRESS_REFUSED
from synthbench.sandbox.spec import Network

PORT = 3128
_URL = f"http://127.0.0.1:{PORT}"
_HERE = "localhost,127.0.0.1,::1"
ENVIRONMENT = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _URL),
    "no_proxy": _HERE,
    "NO_PROXY": _HERE,
}
"""The variables by which pip, apt, npm, git, curl and most libraries find the proxy."""
LISTEN = f"""
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", {PORT}))
listener.listen(128)
with socket.socket(socket.AF_UNIX) as host:
    host.connect(sys.argv[1])
    socket.send_fds(host, [b"x"], [listener.fileno()])
    host.recv(1)
"""
"""Run inside a sandbox's network namespace: makes its listener, and hands it out through a Unix socket."""
_END_SECONDS = 5.0
_AGAIN_SECONDS = 1.0


def check_network(wanted: Network, allowed: Network, who: str = "network") -> None:
    """Let pass what is allowed.

    Args:
        wanted: by a sandbox.
        allowed: the most that its engine gives.
        who: wants it.

    Raises:
        SpecRefused: it is more.
    """
    order = get_args(Network)
    if order.index(wanted) > order.index(allowed):
        raise SpecRefused(
            f"{who}: the network {wanted!r} is wanted, and {allowed!r} is the most that is given here",
            f"set SYNTHBENCH_ALLOW_NETWORK={wanted} and take the docker engine, or do without",
        )


@dataclass(eq=False)
class EgressHandle:
    """The open network access of one sandbox.

    Attributes:
        refused: what it asked for and may not have, as "name:port", each once, at most `REFUSED_MOST`.
    """

    number: int
    hosts: Sequence[str] | None
    listener: socket.socket
    refused: list[str] = field(default_factory=list[str])

    def notes(self, host: str) -> bool:
        """Return whether a refusal is new: a proxy or a container that was started again counts from the beginning."""
        return host not in self.refused and len(self.refused) < REFUSED_MOST


class Egress:
    """The proxy's process, started when it is first needed.

    Args:
        known: which names may stand for addresses that are not public; see `parse_known`.

    Raises:
        ValueError: `known` is not like that.
    """

    def __init__(self, known: str = "") -> None:
        parse_known(known)
        self._known = known
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._ways: dict[int, EgressHandle] = {}
        self._last = 0
        self._starting = asyncio.Lock()
        self._again: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("synthbench.sandbox")

    async def open(self, listener: socket.socket, hosts: Sequence[str] | None) -> EgressHandle:
        """Serve a listener, which is ours from now on.

        Args:
            listener: in the sandbox's network namespace.
            hosts: the allowlist; None for every public address.

        Raises:
            SandboxError: the proxy does not start.
        """
        self._last += 1
        way = EgressHandle(self._last, hosts, listener)
        self._ways[way.number] = way
        try:
            async with self._starting:
                if self._control is None:
                    await self._start()
                else:
                    self._say(way)
        except BaseException:
            del self._ways[way.number]
            listener.close()
            raise
        return way

    def close(self, way: EgressHandle) -> None:
        """Close it, with all its connections; twice is as good as once."""
        if self._ways.pop(way.number, None) is not None:
            way.listener.close()
            if self._control is not None:
                with suppress(OSError):
                    self._control.send(json.dumps({"close": way.number}).encode())

    async def _start(self) -> None:
        """Start the process, and give it every way that is open."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = [sys.executable, "-m", __name__, str(theirs.fileno()), self._known]
            environment = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "LANG")}
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *argv, pass_fds=[theirs.fileno()], stdin=asyncio.subprocess.DEVNULL, env=environment,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                ours.close()
                raise SandboxError(f"the egress proxy does not start ({error.strerror})") from error
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)
        for way in self._ways.values():
            self._say(way)

    def _say(self, way: EgressHandle) -> None:
        assert self._control is not None
        word = json.dumps({"open": way.number, "hosts": way.hosts and list(way.hosts)}).encode()
        try:
            socket.send_fds(self._control, [word], [way.listener.fileno()])
        except OSError as error:
            raise SandboxError(f"the egress proxy does not listen ({error.strerror})") from error

    def _hear(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._heard(json.loads(data))
            return
        self._hang_up()
        self._log.error("the egress proxy ended; it is started again", ways=len(self._ways))
        self._again = asyncio.create_task(self._restart())

    def _heard(self, word: dict[str, Any]) -> None:
        if "refused" not in word:
            EGRESS_BYTES.inc(word["bytes"])
            EGRESS_CONNECTIONS.inc(word["connections"])
        elif (way := self._ways.get(word["lane"])) and way.notes(word["refused"]):
            way.refused.append(word["refused"])
            EGRESS_REFUSED.inc()
            self._log.warning("a sandbox asked for a host that it may not reach", host=word["refused"], why=word["why"])

    async def _restart(self) -> None:
        await self._reaped()
        await asyncio.sleep(_AGAIN_SECONDS)
        async with self._starting:
            if self._control is None and self._ways:
                try:
                    await self._start()
                except Exception as error:  # noqa: BLE001 - the next way out starts it again
                    BACKGROUND_FAILURES.labels("egress proxy").inc()
                    self._log.error("the egress proxy is gone", error=str(error) or type(error).__name__)

    def _hang_up(self) -> None:
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self._control = None

    async def _reaped(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            try:
                async with asyncio.timeout(_END_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def aclose(self) -> None:
        """End the process."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait([self._again])
        for way in tuple(self._ways.values()):
            self.close(way)
        self._hang_up()
        await self._reaped()
