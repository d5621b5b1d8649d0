"""How the commands of a sandbox are started through its channel; how PID 1 is started and ended differs by engine."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from synthbench.sandbox.channel import INIT, Channel
from synthbench.sandbox.channel.command import ChannelRunning
from synthbench.sandbox.channel.shell import ChannelShell
from synthbench.sandbox.errors import SandboxError, SandboxKilled
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.disk import DiskWatch
from synthbench.sandbox.host.local import Command
from synthbench.sandbox.host.places import Places
from synthbench.sandbox.host.running import Ended
from synthbench.sandbox.protocol import Shell

CHANNEL = "/run/synthbench/channel"
SOCKETS = "/run/synthbench/sockets"
"""Where a sandbox finds its sockets; a folder `sockets` of its places is seen there, read-only."""
FIRST = ("/bin/sh", f"{CHANNEL}/{INIT}")
"""What PID 1 runs."""
OWN_PROCESSES = 4
"""PID 1, the child by which it notices silence, and the shells around a command: not the sandbox's own."""
_READY_SECONDS = 20.0
_GONE_SECONDS = 5.0
_KILLED = 137


class House(Protocol):
    """What an engine builds around PID 1, one after the other; the folders stay the same."""

    async def start(self, number: int, folder: Path) -> None:
        """Start `FIRST`, with a channel's folder at `CHANNEL`, read-only; SandboxError where it does not start."""
        ...

    async def kill(self) -> None:
        """End PID 1 and everything inside, whatever it does."""
        ...

    async def left(self) -> None:
        """See that nothing stays of what was started last; PID 1 is gone, or going."""
        ...

    def command_begins(self) -> None:
        """Note what `killed_from_outside` compares with."""
        ...

    async def killed_from_outside(self) -> bool:
        """Whether it is proven that somebody outside, who was not we, ended PID 1; to be asked when it is gone."""
        ...

    def counts(self) -> Counts | None:
        """What the kernel refused so far; None where PID 1 can tell, and nobody else."""
        ...

    async def aclose(self) -> None:
        """Give back what the kernel keeps for it."""
        ...


@dataclass
class ChannelLauncher:
    """See `Launcher`. Where somebody inside ended PID 1, or we did, the next command starts it anew over the same
    folders; where somebody outside did, there is no next command.

    Args:
        house: of the engine.
        places: folders of the sandbox.
        limits: lines of shell that set a command's limits.
        output_bytes: kept of each stream.
        uid: who runs inside, where that is not this process's own user.
        sockets: host path of each socket, by its name inside.
        background: what a command leaves running lives on.
    """

    house: House
    places: Places
    limits: Sequence[str]
    output_bytes: int
    uid: int | None
    sockets: Mapping[str, Path] = field(default_factory=dict[str, Path])
    background: bool = False
    _channel: Channel | None = None
    _starts: int = 0
    _counted: Counts = field(default_factory=Counts)
    """As told by those that are gone."""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _brought: set[str] = field(default_factory=set[str])
    _killed: bool = False
    """Somebody outside ended PID 1."""

    async def start(self) -> Channel:
        """Start PID 1 where it does not run.

        Raises:
            SandboxError: it does not start.
        """
        if self._channel is not None and self._channel.alive:
            return self._channel
        async with self._starting:
            if self._channel is not None and self._channel.alive:
                return self._channel
            await self.refuse_if_killed()
            await self._leave()
            self._starts += 1
            folder = self.places.top / f"channel-{self._starts}"
            channel = Channel(folder, CHANNEL, self.uid, self.house.kill)
            channel.make()
            (self.places.top / "sockets").mkdir(mode=0o755, exist_ok=True)
            self._channel = channel
            try:
                await self.house.start(self._starts, folder)
                await channel.ready(_READY_SECONDS)
            except BaseException:
                channel.closed()
                self._channel = None
                await self.house.left()
                raise
            return channel

    async def launch(self, command: Command) -> "_Launched":
        """Start a command through the channel."""
        channel = await self._reached()
        self.house.command_begins()
        argv, lines = self._prepared(command.argv, {**command.env, "PWD": command.cwd}, command.cwd)
        running = await channel.run(
            argv,
            lines,
            command.stdin,
            self.output_bytes,
            track_cwd=command.track_cwd,
            background=self.background,
        )
        return _Launched(running, self)

    async def begin_shell(self, command: Command, cwd: str) -> tuple[Channel, ChannelRunning]:
        """Start a shell that stays."""
        channel = await self._reached()
        self.house.command_begins()
        _, lines = self._prepared([], {**command.env, "PWD": cwd}, cwd)
        return channel, channel.shell(lines, self.output_bytes)

    async def refuse_if_killed(self) -> None:
        """To be asked where PID 1 is gone, before anything is made of that.

        Raises:
            SandboxKilled: somebody outside ended it.
        """
        if not self._killed and self._channel is not None and self._channel.lost_pid1:
            self._killed = await self.house.killed_from_outside()
        if self._killed:
            raise SandboxKilled("the sandbox was killed from outside", "look for who ends containers or processes here")

    def shell(self, command: Command, disk: DiskWatch) -> Shell:
        """See `Launcher`."""
        return ChannelShell(self, command, disk)

    def _prepared(self, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> tuple[Sequence[str], Sequence[str]]:
        argv, exports = _environment(argv, env)
        return argv, [f"cd -- {shlex.quote(cwd)} || exit 127", *self.limits, *exports]

    async def _reached(self) -> Channel:
        channel = await self.start()
        if self.sockets.keys() - self._brought:
            await asyncio.to_thread(self._bring_sockets)
        return channel

    def _bring_sockets(self) -> None:
        """Show the sockets inside: a second name of each, in a folder that is seen there."""
        for name, socket in self.sockets.items():
            link = self.places.top / "sockets" / f"{name}.sock"
            if not link.exists():
                link.hardlink_to(socket)
            self._brought.add(name)

    @property
    def alive(self) -> bool:
        """Whether PID 1 runs, as far as we know."""
        return self._channel is not None and self._channel.alive

    def counts(self) -> Counts:
        """As the engine or PID 1 read them."""
        found = self.house.counts()
        if found is None:
            return self._counted + (self._channel.counts if self._channel else Counts())
        return found

    async def sweep(self) -> None:
        """Through PID 1."""
        if self._channel is not None and self._channel.alive:
            await self._channel.sweep()

    async def aclose(self) -> None:
        """Hang up, and see PID 1 off."""
        try:
            await self._leave()
        finally:
            await self.house.aclose()

    async def _leave(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._counted += channel.counts
        channel.close()
        if not await channel.until_gone(_GONE_SECONDS):
            await self.house.kill()
            await channel.until_gone(_GONE_SECONDS)
        channel.closed()
        await self.house.left()


def _environment(argv: Sequence[str], env: Mapping[str, str]) -> tuple[Sequence[str], list[str]]:
    """Exports for names that a shell knows, env(1) for others."""
    others = [f"{name}={value}" for name, value in env.items() if not name.isidentifier()]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if name.isidentifier()]
    return (["env", *others, *argv] if others else argv), exports


@dataclass
class _Launched:
    """One running command."""

    running: ChannelRunning
    launcher: ChannelLauncher

    async def exit_code(self, ended: Ended) -> int | None:
        """As PID 1's shell saw it; where who would tell was killed from inside, it is a kill."""
        if self.running.lost and not ended.killed:
            raise SandboxError(self.running.lost, "look for what stopped this process, or kept it busy")
        if ended.returncode is None and not ended.killed:
            await self.launcher.refuse_if_killed()
        return None if ended.killed else _KILLED if ended.returncode is None else ended.returncode

    def cwd(self) -> str | None:
        """See `Launched`."""
        return self.running.cwd()

    def close(self) -> None:
        """Give its files back."""
        self.running.close()
