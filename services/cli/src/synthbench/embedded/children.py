"""Child processes that die with their parent, also when the parent is killed with -9."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

_PR_SET_PDEATHSIG = 1
_NOT_HANDED_ON = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH")
"""Variables for the interpreter of whoever typed a command: the services' own has its paths and compiled files."""


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that services inherit, without those for another Python interpreter."""
    return {name: value for name, value in environment.items() if name not in _NOT_HANDED_ON}


class ChildProcess(Protocol):
    """A process that was started here; `asyncio.subprocess.Process` is one."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """None while it runs; then its exit code, negative for the signal that killed it."""
        ...

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        ...

    def send_signal(self, signal: int, /) -> None:
        """Send it a signal; ProcessLookupError when it has ended."""
        ...

    def kill(self) -> None:
        """Send it SIGKILL; ProcessLookupError when it has ended."""
        ...


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on.

    On Linux it stays ours until this process ends: bound, but not listening, so that a server with SO_REUSEADDR (all
    have it) can take it again and again, while the kernel gives it to no outgoing connection. Source: socket(7).
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        holder.detach()
    else:
        holder.close()
    return port


def dies_with_parent(death_signal: signal.Signals, user: tuple[int, int] | None = None) -> Callable[[], None] | None:
    """Return a `preexec_fn`: become `user` (uid, gid), then ask the kernel for `death_signal` when the parent dies.

    The order matters: changing the uid clears the request. Linux only; elsewhere the supervisor's own end handler
    has to do.
    """
    parent = os.getpid()
    linux = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
        if linux:
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return prepare


async def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    death_signal: signal.Signals = signal.SIGTERM,
    user: tuple[int, int] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> asyncio.subprocess.Process:
    """Start a child in a session of its own, so that the terminal's Ctrl-C reaches only us; output goes to `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=dict(env), cwd=cwd,
            start_new_session=True, preexec_fn=dies_with_parent(death_signal, user), pass_fds=pass_fds,
        )  # fmt: skip


async def stop(process: ChildProcess, *, grace: float, first: signal.Signals = signal.SIGTERM) -> bool:
    """Ask a child to end, and kill it after `grace` seconds; whether it ended by itself."""
    if process.returncode is not None:
        return True
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(first)
    try:
        await asyncio.wait_for(process.wait(), grace)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return False
    return True
