"""The listener inside a container's network namespace through which it reaches the egress proxy.

The container starts without any network, and none of its code has run yet. A short-lived helper container joins its
namespace, makes the listener there, and hands it out through a Unix socket; then it ends. Nothing of this needs to know
the engine's processes: it works where the engine is in another container.
"""

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from synthbench.sandbox.docker.api import ContainerPlan
from synthbench.sandbox.docker.containers import Containers
from synthbench.sandbox.egress import LISTEN, Egress, EgressHandle
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.sockets import socket_place
from synthbench.sandbox.host.uids import can_lease

_INSIDE = "/run/synthbench/gate"
_NOBODY = 65534
_SECONDS = 20.0


@dataclass
class ContainerEgress:
    """The network access of one sandbox, opened anew for each of its containers.

    Args:
        containers: of the engine.
        egress: the proxy.
        image: with a python3.
        folder: of the engine, which its containers can see.
        labels: of the helper.
        hosts: the allowlist; None for every public address.
    """

    containers: Containers
    egress: Egress
    image: str
    folder: Path
    labels: Mapping[str, str]
    hosts: Sequence[str] | None
    refused: list[str] = field(default_factory=list[str])
    """What it asked for and may not have, each once."""
    _way: EgressHandle | None = None

    async def open(self, container: str) -> None:
        """Give a container that has just started its way out.

        Raises:
            SandboxError: it cannot have one.
        """
        self.close()
        with socket_place(self.folder) as path, socket.socket(socket.AF_UNIX) as door:
            door.bind(str(path))
            path.chmod(0o666)
            door.listen(1)
            door.setblocking(False)
            helper = f"{container}-gate"
            try:
                await self.containers.start(self._plan(helper, container, path.parent.resolve(), path.name))
                listener = await _receive(door)
            except TimeoutError:
                cause = f"no listener came out of a sandbox within {_SECONDS:g} s"
                raise SandboxError(cause, f"has the image {self.image} a python3?") from None
            finally:
                self.containers.leaves(helper)
        self._way = await self.egress.open(listener, self.hosts)
        self._way.refused = self.refused

    def _plan(self, name: str, container: str, folder: Path, door: str) -> ContainerPlan:
        user = f"{_NOBODY}:{_NOBODY}" if can_lease() else f"{os.geteuid()}:{os.getegid()}"
        return ContainerPlan(
            name=name,
            image=self.image,
            argv=["python3", "-I", "-S", "-c", LISTEN, f"{_INSIDE}/{door}"],
            user=user,
            env={},
            binds=[(str(folder), _INSIDE, "ro")],
            labels=self.labels,
            memory_mb=64,
            cpus=1.0,
            pids=8,
            network=f"container:{container}",
        )

    def close(self) -> None:
        """Close it, with its connections."""
        way, self._way = self._way, None
        if way is not None:
            self.egress.close(way)


async def _receive(door: socket.socket) -> socket.socket:
    async with asyncio.timeout(_SECONDS):
        loop = asyncio.get_running_loop()
        link, _ = await loop.sock_accept(door)
        with link:
            link.setblocking(True)
            link.settimeout(_SECONDS)
            _, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, link, 1, 1)
            if not descriptors:
                raise SandboxError("a helper ended without a listener")
            with suppress(OSError):
                link.send(b"x")
    return socket.socket(fileno=descriptors[0])
