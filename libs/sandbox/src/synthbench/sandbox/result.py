"""The result of a command, and how its output is shown."""

from dataclasses import dataclass
from typing import Literal

LimitHit = Literal["disk", "oom", "timeout", "pids"]
"""*disk*: killed for what it had written; *oom*: the kernel killed something in it for want of memory; *timeout*:
killed because its time was over; *pids*: a fork was refused."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of a command.

    Attributes:
        exit_code: as a shell sees it (128 + n for signal n); None where it was killed: timeout, `kill`, `close`.
        stdout: the bytes kept: the first three quarters of `SandboxLimits.output_bytes` and the last quarter.
        stderr: the same of the other stream.
        stdout_total: bytes produced; more than `len(stdout)` means that the middle is missing.
        stderr_total: the same of the other stream.
        stdout_cut: where in `stdout` the missing bytes would be; None where nothing is missing.
        stderr_cut: the same of the other stream.
        timed_out: it was killed because its time was over.
        hit: the limits it ran into, worst first; the kernel's own are known only where a cgroup tells.
        seconds: wall time.
        cwd: the folder in which a shell ended, where `track_cwd` asked for it and the shell could say.
        restarted: the `Shell` ended with this script; the next begins in a new one, in the folder `cwd`.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    stdout_total: int
    stderr_total: int
    timed_out: bool
    seconds: float
    hit: tuple[LimitHit, ...] = ()
    cwd: str | None = None
    stdout_cut: int | None = None
    stderr_cut: int | None = None
    restarted: bool = False

    @property
    def stdout_text(self) -> str:
        """`stdout` as UTF-8 (anything else replaced), with a line that says what is missing."""
        return _text(self.stdout, self.stdout_total, self.stdout_cut)

    @property
    def stderr_text(self) -> str:
        """`stderr` as UTF-8 (anything else replaced), with a line that says what is missing."""
        return _text(self.stderr, self.stderr_total, self.stderr_cut)


def _text(kept: bytes, total: int, cut: int | None) -> str:
    if cut is None:
        return kept.decode(errors="replace")
    head, tail = kept[:cut].decode(errors="replace"), kept[cut:].decode(errors="replace")
    return f"{head}\n[… {total - len(kept):,} bytes left out …]\n{tail}"
