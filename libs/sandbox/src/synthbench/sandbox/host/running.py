"""A command that runs somewhere, from start to end, and leaves nothing when it was ended."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.result import LimitHit, RunResult

_KILL = 20.0  # seconds until killed processes must be gone


@dataclass
class EndedCommand:
    """The end of a command; `returncode` is None where we killed it."""

    returncode: int | None
    timed_out: bool
    killed: bool
    seconds: float
    streams: Mapping[int, HeadTail] = field(repr=False)

    def result(self, *, exit_code: int | None, hit: tuple[LimitHit, ...] = (), cwd: str | None = None) -> RunResult:
        """Return the result that the caller of `Sandbox.run` gets."""
        out, err = self.streams[1], self.streams[2]
        (stdout, stdout_cut), (stderr, stderr_cut) = out.kept(), err.kept()
        return RunResult(
            exit_code=exit_code,
            stdout=stdout,
            stderr=stderr,
            stdout_total=out.total,
            stderr_total=err.total,
            stdout_cut=stdout_cut,
            stderr_cut=stderr_cut,
            timed_out=self.timed_out,
            seconds=self.seconds,
            hit=hit,
            cwd=cwd,
        )


class RunningCommand(ABC):
    """A command that was started; always ended by `finish`."""

    def __init__(self) -> None:
        self._killed = False
        self._began = asyncio.get_running_loop().time()

    @property
    @abstractmethod
    def streams(self) -> Mapping[int, HeadTail]:
        """The output kept so far, by descriptor: 1 and 2."""

    @property
    @abstractmethod
    def returncode(self) -> int | None:
        """The exit code as the engine learned it; `StartedCommand.exit_code` interprets it."""

    @abstractmethod
    async def until_exit(self) -> None:
        """Wait for the process we started, not for what it left behind."""

    @abstractmethod
    async def stop(self) -> None:
        """End every process of the command, and return when they are gone; called after each end, normal or not."""

    @abstractmethod
    async def last_words(self) -> None:
        """Read what is left in its pipes, and close them; its processes are gone."""

    def marked_killed(self) -> None:
        """Note that it is ended from outside, so that its exit code means nothing."""
        self._killed = True

    async def finish(self, *, timeout: float) -> EndedCommand:  # noqa: ASYNC109 (a result, not an error)
        """Wait for it, and leave nothing of it, even when cancelled."""
        timed_out = False
        try:
            try:
                async with asyncio.timeout(timeout):
                    await self.until_exit()
            except TimeoutError:
                timed_out = self._killed = True
        finally:
            seconds = asyncio.get_running_loop().time() - self._began
            await _through(self.end())
        code = None if self._killed else self.returncode
        return EndedCommand(
            returncode=code, timed_out=timed_out, killed=self._killed, seconds=seconds, streams=self.streams
        )

    async def end(self) -> None:
        """Kill what is left of it, and wait until it is gone and its pipes are read; twice is as good as once."""
        try:
            async with asyncio.timeout(_KILL):
                await self.stop()
                await self.until_exit()
        except TimeoutError as error:
            raise SandboxError(
                f"the processes of a command did not end within {_KILL:.0f} s of being killed",
                "look for processes in state D, or a kernel without free memory",
            ) from error
        finally:
            await self.last_words()


async def _through(work: Awaitable[None]) -> None:
    """Await work to its end although we are being cancelled, then pass the cancellation on."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def limits_hit(before: Counts, after: Counts, *, timed_out: bool, full: bool) -> tuple[LimitHit, ...]:
    """Return the limits that a command ran into, worst first.

    Args:
        before: how often the kernel had refused something when the command began.
        after: the same when it had ended.
        timed_out: whether its time was over.
        full: whether it was ended because it had written too much.
    """
    found: dict[LimitHit, bool] = {
        "disk": full,
        "oom": after.oom_kills > before.oom_kills,
        "timeout": timed_out,
        "pids": after.refused_forks > before.refused_forks,
    }
    return tuple(name for name, was_hit in found.items() if was_hit)
