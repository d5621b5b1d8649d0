"""One container: how it is started, and how its commands are."""

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from synthbench.sandbox.channel import INIT, Channel, ChannelRunning
from synthbench.sandbox.docker.api import ContainerPlan
from synthbench.sandbox.docker.containers import Containers
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.local import Command
from synthbench.sandbox.host.places import Places
from synthbench.sandbox.host.running import Ended
from synthbench.sandbox.host.shell import limit_lines
from synthbench.sandbox.protocol import Limits

CHANNEL = "/run/synthbench/channel"
SOCKETS = "/run/synthbench/sockets"
READY_SECONDS = 20.0
_KILLED = 137


@dataclass
class Container:
    """See `Launcher`. Whatever ends the container, the next command starts it anew over the same folders.

    Args:
        containers: of the engine.
        plan: of the first one.
        places: its folders.
        limits: of its commands.
        uid: who runs in it, where that is not this process's own user.
        sockets: host path of each socket, by its name inside.
        background: what a command leaves running lives on.
    """

    containers: Containers
    plan: ContainerPlan
    places: Places
    limits: Limits
    uid: int | None
    sockets: Mapping[str, Path] = field(default_factory=dict[str, Path])
    background: bool = False
    layer: Path | None = None
    """Where what is written to its root lies, if that can be written and we can see it."""
    _channel: Channel | None = None
    _incarnation: int = 0
    _counted: Counts = field(default_factory=Counts)
    """Of containers that are gone."""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self) -> Channel:
        """Start it where it does not run.

        Raises:
            SandboxError: it does not start.
        """
        async with self._starting:
            if self._channel is not None and self._channel.alive:
                return self._channel
            await self._leave()
            if self.plan.writable and self._incarnation:
                raise SandboxError("the container ended, and with it what was changed in its root")
            self._incarnation += 1
            name = self._name
            folder = self.places.top / f"channel-{self._incarnation}"
            channel = Channel(folder, CHANNEL, self.uid, lambda: self.containers.kill(name))
            await asyncio.to_thread(channel.make)
            self._channel = channel
            try:
                await self.containers.start(self._planned(name, folder))
                await channel.ready(READY_SECONDS)
                if self.plan.writable:
                    self.layer = await self.containers.call(lambda: _visible(self.containers.api.layer(name)))
            except BaseException:
                channel.closed()
                self._channel = None
                self.containers.leaves(name)
                raise
            return channel

    def _planned(self, name: str, folder: Path) -> ContainerPlan:
        binds = [*self.plan.binds, (str(folder), CHANNEL, "ro")]
        return replace(self.plan, name=name, argv=["/bin/sh", f"{CHANNEL}/{INIT}"], binds=binds)

    async def launch(self, command: Command) -> "_Launched":
        """Start a command through the channel."""
        await asyncio.to_thread(self._bring_sockets) if self.sockets else None
        channel = await self.start()
        argv, exports = _environment(command.argv, {**command.env, "PWD": command.cwd})
        lines = [f"cd -- {shlex.quote(command.cwd)} || exit 127", *limit_lines(self.limits, memory=False, pids=False)]
        running = await channel.run(
            argv,
            [*lines, *exports],
            command.stdin,
            self.limits.output_bytes,
            track_cwd=command.track_cwd,
            background=self.background,
        )
        return _Launched(running)

    def _bring_sockets(self) -> None:
        """Show the sockets inside: a second name of each, in a folder that is mounted."""
        for name, socket in self.sockets.items():
            link = self.places.top / "sockets" / f"{name}.sock"
            if not link.exists():
                link.hardlink_to(socket)

    async def put(self, archive: bytes, to: str) -> None:
        """See `Outside`."""
        await self.start()
        await self.containers.call(lambda: self.containers.api.put(self._name, archive, to))

    async def fetch(self, path: str, max_bytes: int) -> bytes | None:
        """See `Outside`."""
        await self.start()
        return await self.containers.call(lambda: self.containers.api.fetch(self._name, path, max_bytes))

    @property
    def _name(self) -> str:
        return f"{self.plan.name}-{self._incarnation}"

    @property
    def alive(self) -> bool:
        """Whether it runs, as far as we know."""
        return self._channel is not None and self._channel.alive

    def counts(self) -> Counts:
        """As PID 1 read them."""
        return self._counted + (self._channel.counts if self._channel else Counts())

    async def sweep(self) -> None:
        """Through PID 1."""
        if self._channel is not None and self._channel.alive:
            await self._channel.sweep()

    async def aclose(self) -> None:
        """Hang up; the engine takes the container away."""
        await self._leave()

    async def _leave(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._counted += channel.counts
        channel.close()
        if not await channel.until_gone(5):
            await self.containers.kill(self._name)
            await channel.until_gone(5)
        channel.closed()
        self.containers.leaves(self._name)


def _visible(layer: str | None) -> Path | None:
    """A folder of the engine's machine, where that is this one and we may look."""
    return Path(layer) if layer and os.access(layer, os.R_OK | os.X_OK) else None


def _environment(argv: Sequence[str], env: Mapping[str, str]) -> tuple[Sequence[str], list[str]]:
    """Exports for names that a shell knows, env(1) for others."""
    others = [f"{name}={value}" for name, value in env.items() if not name.isidentifier()]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if name.isidentifier()]
    return (["env", *others, *argv] if others else argv), exports


@dataclass
class _Launched:
    """One running command."""

    running: ChannelRunning

    def exit_code(self, ended: Ended) -> int | None:
        """As PID 1's shell saw it; where who would tell was killed from inside, it is a kill."""
        return None if ended.killed else _KILLED if ended.returncode is None else ended.returncode

    def cwd(self) -> str | None:
        """See `Launched`."""
        return self.running.cwd()

    def close(self) -> None:
        """Remove its pipes."""
        self.running.close()
