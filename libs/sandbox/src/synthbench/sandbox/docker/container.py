"""Starts and ends PID 1 of a sandbox in the Docker engine: each time in a container of its own."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from synthbench.sandbox.channel.launcher import CHANNEL, FIRST, ChannelLauncher
from synthbench.sandbox.docker.api import ContainerPlan
from synthbench.sandbox.docker.container_egress import ContainerEgress
from synthbench.sandbox.docker.containers import Containers
from synthbench.sandbox.errors import SandboxError


@dataclass
class Container:
    """The container around PID 1 of a sandbox; each start is a container of its own, with the number after its name.

    Args:
        containers: of the engine.
        plan: of the first one.
    """

    containers: Containers
    plan: ContainerPlan
    gate: ContainerEgress | None = None
    """Its access to the network, if it has one."""
    layer: Path | None = None
    """The folder of what is written to its root, if that can be written and we can see it."""
    name: str = ""
    """The name of the last container."""
    _started: float = 0.0
    """When the last container was started, by our clock (seconds since the epoch)."""
    _killed: bool = False
    """Whether we ended the last container."""

    async def start(self, number: int, folder: Path) -> None:
        """Start PID 1 with the folder of a channel mounted read-only at `CHANNEL`."""
        if self.plan.writable and number > 1:
            raise SandboxError("the container ended, and with it what was changed in its root")
        self._started, self._killed = time.time(), False
        self.name = name = f"{self.plan.name}-{number}"
        binds = [*self.plan.binds, (str(folder), CHANNEL, "ro")]
        await self.containers.start(replace(self.plan, name=name, argv=FIRST, binds=binds))
        if self.gate is not None:
            await self.gate.open(name)
        if self.plan.writable:
            self.layer = await self.containers.call(lambda: _visible(self.containers.api.layer(name)))

    async def open_gate(self, gate: ContainerEgress) -> None:
        """Give it a way out, before its first command.

        Raises:
            SandboxError: it cannot have one.
        """
        self.gate = gate
        await gate.open(self.name)

    async def kill(self) -> None:
        """End PID 1 and everything inside, whatever it does."""
        self._killed = True
        await self.containers.kill(self.name)

    def command_begins(self) -> None:
        """Do nothing: the engine's own events tell when a container was killed.

        The engine's own events tell, whenever it began.
        """

    async def killed_from_outside(self) -> bool:
        """Return whether it is proven that somebody outside, who was not we, ended PID 1.

        Somebody told the engine to kill or stop it, which nobody inside can.
        """
        name, since = self.name, self._started
        return not self._killed and await self.containers.call(lambda: self.containers.api.was_killed(name, since))

    async def clean_up(self) -> None:
        """The engine takes the container away."""
        if self.gate is not None:
            self.gate.close()
        self.containers.leaves(self.name)

    def counts(self) -> None:
        """Return None: only PID 1 can count inside the container."""

    async def aclose(self) -> None:
        """Do nothing: the engine keeps nothing beside the container."""


@dataclass(frozen=True)
class ContainerFiles:
    """The files of a container that lie outside of its workspace."""

    launcher: ChannelLauncher
    container: Container

    async def put(self, archive: bytes, to: str) -> None:
        """Unpack a tar in a folder of the container; its files belong to root."""
        await self.launcher.start()
        found = self.container
        await found.containers.call(lambda: found.containers.api.put(found.name, archive, to))

    async def fetch(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file or folder of the container as a tar; None where there is none."""
        await self.launcher.start()
        found = self.container
        return await found.containers.call(lambda: found.containers.api.fetch(found.name, path, max_bytes))


def _visible(layer: str | None) -> Path | None:
    """A folder of the engine's machine, where that is this one and we may look."""
    return Path(layer) if layer and os.access(layer, os.R_OK | os.X_OK) else None
