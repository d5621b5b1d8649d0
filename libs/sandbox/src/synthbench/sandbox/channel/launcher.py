"""Starts the commands of a sandbox through its channel; each engine starts and ends PID 1 in its own way."""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from synthbench.sandbox.channel import INIT, Channel
from synthbench.sandbox.channel.command import ChannelCommand
from synthbench.sandbox.channel.shell import ChannelShell
from synthbench.sandbox.errors import SandboxError, SandboxKilled
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.disk import DiskWatch
from synthbench.sandbox.host.folders import SandboxFolders
from synthbench.sandbox.host.launching import Command
from synthbench.sandbox.host.running import EndedCommand
from synthbench.sandbox.protocol import Shell

CHANNEL = "/run/synthbench/channel"
SOCKETS = "/run/synthbench/sockets"
"""The folder in which a sandbox finds its sockets; the host's folder `sockets` is mounted there, read-only."""
FIRST = ("/bin/sh", f"{CHANNEL}/{INIT}")
"""What PID 1 runs."""
OWN_PROCESSES = 4
"""PID 1, the child by which it notices silence, and the shells around a command: not the sandbox's own."""
_READY_SECONDS = 20.0
_GONE_SECONDS = 5.0
_KILLED = 137


class InitProcess(Protocol):
    """The way in which an engine starts and ends PID 1 of a sandbox, with the namespaces or container around it.

    PID 1 may be started several times, one after the other, over the same folders.
    """

    async def start(self, number: int, folder: Path) -> None:
        """Start `FIRST` with the folder of a channel mounted read-only at `CHANNEL`.

        Args:
            number: counts the starts, from 1.
            folder: the channel's, on the host.

        Raises:
            SandboxError: it does not start.
        """
        ...

    async def kill(self) -> None:
        """End PID 1 and everything inside, whatever it does."""
        ...

    async def clean_up(self) -> None:
        """Remove what is left of the PID 1 that was started last, and wait until it is gone."""
        ...

    def command_begins(self) -> None:
        """Note the counts with which `killed_from_outside` compares."""
        ...

    async def killed_from_outside(self) -> bool:
        """Return whether it is proven that somebody outside, who was not we, ended PID 1; call it when that is gone."""
        ...

    def counts(self) -> Counts | None:
        """Return how often the kernel has refused something so far; None where only PID 1 can tell."""
        ...

    async def aclose(self) -> None:
        """Release what the kernel keeps for the sandbox."""
        ...


@dataclass
class ChannelLauncher:
    """Starts commands through the channel to PID 1.

    Where somebody inside ended PID 1, or we did, the next command starts it anew over the same folders; where somebody
    outside did, every further command is refused.

    Args:
        init: starts and ends PID 1, in the way of the engine.
        folders: of the sandbox, on the host.
        limits: lines of shell that set a command's limits.
        output_bytes: kept of each stream.
        uid: who runs inside, where that is not this process's own user.
        sockets: host path of each socket, by its name inside.
        background: whether what a command leaves running lives on.
    """

    init: InitProcess
    folders: SandboxFolders
    limits: Sequence[str]
    output_bytes: int
    uid: int | None
    sockets: Mapping[str, Path] = field(default_factory=dict[str, Path])
    background: bool = False
    _channel: Channel | None = None
    _starts: int = 0
    _counted: Counts = field(default_factory=Counts)
    """Counts of the earlier PID 1s, which are gone."""
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _brought: set[str] = field(default_factory=set[str])
    _killed: bool = False
    """Whether somebody outside ended PID 1."""

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
            folder = self.folders.top / f"channel-{self._starts}"
            channel = Channel(folder, CHANNEL, self.uid, self.init.kill)
            channel.make()
            (self.folders.top / "sockets").mkdir(mode=0o755, exist_ok=True)
            self._channel = channel
            try:
                await self.init.start(self._starts, folder)
                await channel.ready(_READY_SECONDS)
            except BaseException:
                channel.closed()
                self._channel = None
                await self.init.clean_up()
                raise
            return channel

    async def launch(self, command: Command) -> "_StartedInChannel":
        """Start a command through the channel."""
        channel = await self._reached()
        self.init.command_begins()
        argv, lines = self._prepared(command.argv, {**command.env, "PWD": command.cwd}, command.cwd)
        running = await channel.run(
            argv,
            lines,
            command.stdin,
            self.output_bytes,
            track_cwd=command.track_cwd,
            background=self.background,
        )
        return _StartedInChannel(running, self)

    async def begin_shell(self, command: Command, cwd: str) -> tuple[Channel, ChannelCommand]:
        """Start a shell that stays."""
        channel = await self._reached()
        self.init.command_begins()
        _, lines = self._prepared([], {**command.env, "PWD": cwd}, cwd)
        return channel, channel.shell(lines, self.output_bytes)

    async def refuse_if_killed(self) -> None:
        """Refuse to go on where PID 1 is gone and somebody outside ended it.

        Raises:
            SandboxKilled: somebody outside ended it.
        """
        if not self._killed and self._channel is not None and self._channel.lost_pid1:
            self._killed = await self.init.killed_from_outside()
        if self._killed:
            raise SandboxKilled("the sandbox was killed from outside", "look for who ends containers or processes here")

    def shell(self, command: Command, disk: DiskWatch) -> Shell:
        """Return a shell that stays, not started yet."""
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
        """Make the sockets visible inside: a hard link to each, in a folder that is mounted there."""
        for name, socket in self.sockets.items():
            link = self.folders.top / "sockets" / f"{name}.sock"
            if not link.exists():
                link.hardlink_to(socket)
            self._brought.add(name)

    @property
    def alive(self) -> bool:
        """Whether PID 1 runs, as far as is known."""
        return self._channel is not None and self._channel.alive

    def counts(self) -> Counts:
        """Return how often the kernel has refused something so far, as the engine or PID 1 counted it."""
        found = self.init.counts()
        if found is None:
            return self._counted + (self._channel.counts if self._channel else Counts())
        return found

    async def sweep(self) -> None:
        """Have PID 1 end every other process of the sandbox."""
        if self._channel is not None and self._channel.alive:
            await self._channel.sweep()

    async def aclose(self) -> None:
        """Close the channel, end PID 1, and release what the kernel keeps for the sandbox."""
        try:
            await self._leave()
        finally:
            await self.init.aclose()

    async def _leave(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None:
            return
        self._counted += channel.counts
        channel.close()
        if not await channel.until_gone(_GONE_SECONDS):
            await self.init.kill()
            await channel.until_gone(_GONE_SECONDS)
        channel.closed()
        await self.init.clean_up()


def _environment(argv: Sequence[str], env: Mapping[str, str]) -> tuple[Sequence[str], list[str]]:
    """Exports for names that a shell knows, env(1) for others."""
    others = [f"{name}={value}" for name, value in env.items() if not name.isidentifier()]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in env.items() if name.isidentifier()]
    return (["env", *others, *argv] if others else argv), exports


@dataclass
class _StartedInChannel:
    """A command that was started through the channel."""

    running: ChannelCommand
    launcher: ChannelLauncher

    async def exit_code(self, ended: EndedCommand) -> int | None:
        """Return the exit code that the shell of PID 1 saw; 137 where that shell was killed from inside."""
        if self.running.lost and not ended.killed:
            raise SandboxError(self.running.lost, "look for what stopped this process, or kept it busy")
        if ended.returncode is None and not ended.killed:
            await self.launcher.refuse_if_killed()
        return None if ended.killed else _KILLED if ended.returncode is None else ended.returncode

    def cwd(self) -> str | None:
        """Return the folder in which the command ended; None where nobody asked, or the shell could not say."""
        return self.running.cwd()

    def close(self) -> None:
        """Return its files to the channel, for the next command."""
        self.running.close()
