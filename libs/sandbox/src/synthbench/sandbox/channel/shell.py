"""A shell that stays between scripts, through the channel: see `synthbench.sandbox.protocol.Shell`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from synthbench.sandbox.channel.command import ChannelCommand
from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.errors import SandboxClosed, SandboxError
from synthbench.sandbox.host.disk import DiskWatch
from synthbench.sandbox.host.running import limits_hit
from synthbench.sandbox.result import LimitHit, RunResult

if TYPE_CHECKING:
    from synthbench.sandbox.channel import Channel
    from synthbench.sandbox.channel.launcher import ChannelLauncher
    from synthbench.sandbox.host.launching import Command

_GRACE = 1.0  # seconds until a shell whose jobs were killed must be itself again


@dataclass(frozen=True)
class _ScriptEnd:
    """The exit code, folder and background jobs that the shell reported at the end of a script."""

    code: int
    cwd: str | None
    jobs: tuple[str, ...]


@dataclass
class ChannelShell:
    """A shell that stays; its first script starts it, and where it ended the next script starts it again.

    Args:
        launcher: of the sandbox.
        command: the folder and the environment it begins with.
        disk: watches it while a script runs.
    """

    launcher: "ChannelLauncher"
    command: "Command"
    disk: DiskWatch
    _cwd: str = ""
    _jobs: tuple[str, ...] = ()
    _running: ChannelCommand | None = None
    _channel: "Channel | None" = None
    _closed: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, script: str, *, timeout: float) -> RunResult:  # noqa: ASYNC109 - as in the protocol
        """Run a script in the shell; folder, variables, functions and jobs stay for the next one."""
        async with self._turn:
            if self._closed:
                raise SandboxClosed("the shell was closed")
            running = await self._started()
            counted, began = self.launcher.counts(), asyncio.get_running_loop().time()
            self.disk.watch(running)
            try:
                running.slot.ask(script)
                report, timed_out = await self._await_report(running, timeout)
            except BaseException:
                await self._end()
                raise
            finally:
                full = self.disk.forget(running)
            seconds = asyncio.get_running_loop().time() - began
            code = report.code if report else running.returncode
            if report is None:
                await self._end()
            else:
                self._jobs, self._cwd = report.jobs, report.cwd or self._cwd
            if report is None and not timed_out and not full and code is None:
                await self.launcher.refuse_if_killed()
            if running.lost:
                raise SandboxError(running.lost, "look for what stopped this process, or kept it busy")
            hit = limits_hit(counted, self.launcher.counts(), timed_out=timed_out, full=full)
            kept = running.slot.take(self.launcher.output_bytes)
            return self._result(kept, None if timed_out or full else code, hit, seconds, restarted=report is None)

    def _result(
        self,
        kept: Sequence[HeadTail],
        code: int | None,
        hit: tuple[LimitHit, ...],
        seconds: float,
        *,
        restarted: bool,
    ) -> RunResult:
        (stdout, stdout_cut), (stderr, stderr_cut) = (one.kept() for one in kept)
        return RunResult(
            exit_code=code,
            stdout=stdout,
            stderr=stderr,
            stdout_total=kept[0].total,
            stderr_total=kept[1].total,
            timed_out="timeout" in hit,
            seconds=seconds,
            hit=hit,
            cwd=self._cwd,
            stdout_cut=stdout_cut,
            stderr_cut=stderr_cut,
            restarted=restarted,
        )

    async def _started(self) -> ChannelCommand:
        """The shell, begun in the last folder where it does not run."""
        if self._running is not None and not self._running.over.done() and self._channel and self._channel.alive:
            return self._running
        await self._end()
        self._cwd = self._cwd or self.command.cwd
        self._channel, self._running = await self.launcher.begin_shell(self.command, self._cwd)
        return self._running

    async def _await_report(self, running: ChannelCommand, seconds: float) -> tuple[_ScriptEnd | None, bool]:
        """Wait for the end of a script; return the shell's report, and whether the time was over."""
        assert self._channel is not None
        telling = asyncio.create_task(running.slot.read_report())
        over = asyncio.create_task(running.until_exit())
        try:
            await asyncio.wait({telling, over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            timed_out = not telling.done() and not over.done()
            if timed_out and await running.until_begun(_GRACE):
                self._channel.say(f"stop {running.n} {running.pid} {' '.join(self._jobs)}")
                await asyncio.wait({telling, over}, timeout=_GRACE, return_when=asyncio.FIRST_COMPLETED)
            for output in running.slot.outputs:
                output.drain()
            return (_said(telling.result()) if telling.done() else None), timed_out
        finally:
            for task in (telling, over):
                task.cancel()
            await asyncio.wait({telling, over})

    async def _end(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        if not running.ended and self._channel and self._channel.alive and running.pid:
            self._channel.say(f"stop {running.n} {running.pid}")
        try:
            await running.end()
        finally:
            running.clean = False  # its pipes are not like those of a command
            kept = [output.kept for output in running.slot.outputs]
            running.close()
            for output, one in zip(running.slot.outputs, kept, strict=True):
                output.kept = one
        self._jobs = ()

    async def close(self) -> None:
        """End the shell with all its jobs; twice is as good as once."""
        self._closed = True
        await self._end()


def _said(lines: Sequence[str]) -> _ScriptEnd | None:
    if len(lines) < 2 or not lines[0].isdecimal():
        return None  # told by somebody else
    jobs = tuple(line for line in lines[2:] if line.isdecimal())
    return _ScriptEnd(int(lines[0]), lines[1] if lines[1].startswith("/") else None, jobs)
