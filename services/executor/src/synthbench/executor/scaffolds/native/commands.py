"""The bash tool: each command in a shell of its own, or all in one that stays."""

from synthbench.contracts.scaffold_args import ShellKind
from synthbench.executor.domain.clock import Clock
from synthbench.executor.scaffolds.native.answers import ToolAnswer
from synthbench.executor.scaffolds.native.arguments import Bash
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.protocol import Sandbox, Shell
from synthbench.sandbox.result import LimitHit, RunResult

_HIT: dict[LimitHit, str] = {
    "disk": "killed: the files are more than this sandbox may hold",
    "oom": "the kernel killed something for want of memory",
    "timeout": "killed after {seconds:g} s",
    "pids": "a process could not be started: there are too many",
}


class Commands:
    """Runs the commands of one attempt.

    Args:
        sandbox: where.
        clock: bounds each command, as `timeout` does.
        timeout: seconds, the most that one may take.
        kind: whether the shell stays.
    """

    def __init__(self, sandbox: Sandbox, clock: Clock, *, timeout: float, kind: ShellKind = "one-shot") -> None:
        self._sandbox = sandbox
        self._clock = clock
        self._timeout = timeout
        self._kind = kind
        self._shell: Shell | None = None
        self.cwd = sandbox.workdir

    async def run(self, wanted: Bash) -> ToolAnswer:
        """Run one command line or script."""
        timeout = min(wanted.timeout or self._timeout, self._timeout, self._clock.remaining)
        stays = self._kind == "persistent"
        result = await (self._in_shell if stays else self._alone)(wanted.command, timeout)
        self.cwd = result.cwd or self.cwd
        parts = [result.stdout_text, f"[stderr]\n{result.stderr_text}" if result.stderr else ""]
        text = "\n".join(part.rstrip("\n") for part in parts if part)
        for limit in result.hit:
            text += f"\n[{_HIT[limit].format(seconds=timeout)}]"
        if result.exit_code is not None:
            text += f"\n[exit code {result.exit_code}]"
        if result.restarted:
            text += "\n[the shell ended; a new one begins in the same folder, without variables and jobs]"
        total = result.stdout_total + result.stderr_total
        return ToolAnswer(text.lstrip(), result.exit_code, total, result.hit[0] if result.hit else None)

    async def _alone(self, command: str, timeout: float) -> RunResult:  # noqa: ASYNC109 - of the command, a result
        script = ["bash", "-c", command]
        try:
            return await self._sandbox.run(script, cwd=self.cwd, timeout=timeout, track_cwd=True)
        except PathRefused:  # the folder is gone: start over at the top, as a new shell would
            self.cwd = self._sandbox.workdir
            return await self._sandbox.run(script, cwd=self.cwd, timeout=timeout, track_cwd=True)

    async def _in_shell(self, command: str, timeout: float) -> RunResult:  # noqa: ASYNC109 - as above
        if self._shell is None:
            try:
                self._shell = await self._sandbox.shell(cwd=self.cwd)
            except PathRefused:
                self._shell = await self._sandbox.shell()
        return await self._shell.run(command, timeout=timeout)

    async def close(self) -> None:
        """End the shell that stays, with its jobs."""
        if self._shell is not None:
            await self._shell.close()
            self._shell = None
