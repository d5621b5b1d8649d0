"""One container around PID 1 of a sandbox."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from synthbench.sandbox.channel.launcher import CHANNEL, FIRST, ChannelLauncher
from synthbench.sandbox.docker.api import ContainerPlan
from synthbench.sandbox.docker.containers import Containers
from synthbench.sandbox.docker.gate import Gate
from synthbench.sandbox.errors import SandboxError


@dataclass
class Container:
    """See `House`; each start is a container of its own, with the number behind its name.

    Args:
        containers: of the engine.
        plan: of the first one.
    """

    containers: Containers
    plan: ContainerPlan
    gate: Gate | None = None
    """Its way out, if it has one."""
    layer: Path | None = None
    """Where what is written to its root lies, if that can be written and we can see it."""
    name: str = ""
    """Of the last one."""
    _started: float = 0.0
    """When the last one was started, by our clock (seconds since the epoch)."""
    _killed: bool = False
    """Whether we ended the last one."""

    async def start(self, number: int, folder: Path) -> None:
        """See `House`."""
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

    async def open_gate(self, gate: Gate) -> None:
        """Give it a way out, before its first command.

        Raises:
            SandboxError: it cannot have one.
        """
        self.gate = gate
        await gate.open(self.name)

    async def kill(self) -> None:
        """See `House`."""
        self._killed = True
        await self.containers.kill(self.name)

    def command_begins(self) -> None:
        """See `House`; the engine's own events tell, whenever it began."""

    async def killed_from_outside(self) -> bool:
        """See `House`: somebody told the engine to kill or stop it, which nobody inside can."""
        name, since = self.name, self._started
        return not self._killed and await self.containers.call(lambda: self.containers.api.was_killed(name, since))

    async def left(self) -> None:
        """The engine takes the container away."""
        if self.gate is not None:
            self.gate.close()
        self.containers.leaves(self.name)

    def counts(self) -> None:
        """PID 1 tells."""

    async def aclose(self) -> None:
        """The engine keeps nothing else."""


@dataclass(frozen=True)
class ContainerFiles:
    """See `Outside`: what of a container lies outside of its workspace."""

    launcher: ChannelLauncher
    container: Container

    async def put(self, archive: bytes, to: str) -> None:
        """See `Outside`."""
        await self.launcher.start()
        found = self.container
        await found.containers.call(lambda: found.containers.api.put(found.name, archive, to))

    async def fetch(self, path: str, max_bytes: int) -> bytes | None:
        """See `Outside`."""
        await self.launcher.start()
        found = self.container
        return await found.containers.call(lambda: found.containers.api.fetch(found.name, path, max_bytes))


def _visible(layer: str | None) -> Path | None:
    """A folder of the engine's machine, where that is this one and we may look."""
    return Path(layer) if layer and os.access(layer, os.R_OK | os.X_OK) else None
