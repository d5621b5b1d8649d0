"""A command that PID 1 of a sandbox started for its channel."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Protocol

from synthbench.sandbox.channel.slot import Slot
from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.host.running import RunningCommand


class CommandChannel(Protocol):
    """The part of a channel that the commands in it use."""

    async def look_after(self, command: "ChannelCommand") -> None:
        """Wait until the command has exited."""
        ...

    async def end(self, command: "ChannelCommand") -> None:
        """Kill the processes of the command; they are gone when this returns."""
        ...

    def forget(self, command: "ChannelCommand") -> None:
        """Forget a command that is closed."""
        ...


class ChannelCommand(RunningCommand):
    """A command that PID 1 of a sandbox started for its channel.

    Args:
        channel: through which.
        n: how it is called there.
        slot: its files; they go back to the channel at its end.
        background: what it leaves running lives on.
    """

    def __init__(self, channel: CommandChannel, n: int, slot: Slot, *, background: bool) -> None:
        super().__init__()
        self.n = n
        self.slot = slot
        self.background = background
        self.pid = ""
        self.over: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.ended = False
        self.clean = False
        """Nobody is left who could write to its pipes."""
        self.lost = ""
        """Why it was lost by our own failure, if it was."""
        self._channel = channel
        self._begun = asyncio.Event()
        self._kept = {number: output.kept for number, output in enumerate(slot.outputs, start=1)}

    @property
    def streams(self) -> Mapping[int, HeadTail]:
        """The output kept so far, by descriptor: 1 and 2."""
        return self._kept

    @property
    def returncode(self) -> int | None:
        """The exit code that the shell of PID 1 saw; None where nobody could tell."""
        return self.over.result() if self.over.done() else None

    def began(self, pid: str) -> None:
        """Note the process id that PID 1 reported."""
        self.pid = pid
        self._begun.set()

    async def until_begun(self, seconds: float) -> bool:
        """Wait until the command can be killed on its own; return whether it can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._begun.wait()
        return bool(self.pid)

    def exited(self, code: int | None, *, clean: bool = False) -> None:
        """Note the exit code that PID 1 reported."""
        if not self.over.done():
            self.clean = clean
            self.over.set_result(code)
        self._begun.set()

    async def until_exit(self) -> None:
        """Wait for the process that was started, not for what it left behind."""
        await self._channel.look_after(self)

    @property
    def leaves(self) -> bool:
        """Whether the command ended by itself, and what it left running may stay."""
        return self.clean or (self.background and not self._killed and self.returncode is not None)

    async def stop(self) -> None:
        """End every process of the command; they are gone when this returns."""
        if self.ended:
            return
        if not self.leaves:
            await self._channel.end(self)
        self.ended = True
        self.exited(None)

    async def last_words(self) -> None:
        """Read what is left in its pipes, and close them."""
        for output in self.slot.outputs:
            output.drain()

    def cwd(self) -> str | None:
        """Return the folder in which it ended; None where nobody asked, or the shell could not say."""
        return self.slot.cwd()

    def close(self) -> None:
        """Return its files to the channel, for the next command."""
        self._channel.forget(self)
