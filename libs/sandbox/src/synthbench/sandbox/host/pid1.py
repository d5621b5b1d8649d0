"""Proves whether somebody outside ended PID 1 of a sandbox; otherwise it was ended from inside.

An agent must not be able to void an attempt that it dislikes, so whatever is not proven counts as its own doing. From
inside, the kernel lets nobody kill PID 1 of its namespace (pid_namespaces(7)); what is left to an agent is to make it
exit or crash, which is no SIGKILL in its exit status, and to have the kernel kill it for want of memory, which is
counted. So a SIGKILL without such a count came from outside.
"""

import asyncio
import fcntl
import os
import signal
import struct
from pathlib import Path

_INFO = struct.Struct("=QQ11Ii")  # struct pidfd_info of linux/pidfd.h, its first version: mask, cgroup, ids, exit code
_GET_INFO = 0xC0000000 | _INFO.size << 16 | 0xFF << 8 | 11  # PIDFD_GET_INFO
_WANT_EXIT = 1 << 3  # PIDFD_INFO_EXIT; since Linux 6.15
_REAPED_SECONDS = 2.0
_LOOK_SECONDS = 0.02


async def ended_by_sigkill(pidfd: int) -> bool:
    """Return whether a process that ends, or has ended, was killed; False where the kernel cannot say (before 6.15)."""
    deadline = asyncio.get_running_loop().time() + _REAPED_SECONDS
    while (status := _exit_status(pidfd)) is None:  # its parent has not waited for it yet
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _exit_status(pidfd: int) -> int | None:
    """Return the status as waitpid(2) has it; 0 where it cannot be known, None while the process is not waited for."""
    request = _INFO.pack(_WANT_EXIT, *(0,) * 13)
    try:
        answer = _INFO.unpack(fcntl.ioctl(pidfd, _GET_INFO, request))
    except ProcessLookupError:
        return None
    except OSError:
        return 0
    return int(answer[-1]) if answer[0] & _WANT_EXIT else None


def kills_for_memory() -> int:
    """Return how many processes of this machine the kernel killed for want of memory; -1 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return -1
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), -1)
