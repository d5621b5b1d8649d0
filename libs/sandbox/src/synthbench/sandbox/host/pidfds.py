"""Learns the end of a process from the kernel, by a pidfd. Source: pidfd_open(2).

Python 3.11 has a thread wait for each child unless told otherwise; from 3.12 it watches pidfds by itself.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Any, Self


def on_end(pidfd: int, callback: Callable[[], object]) -> None:
    """Call `callback` once in the running loop, when the process of a pidfd has ended; the pidfd stays open."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(pidfd)
        callback()

    loop.add_reader(pidfd, ended)


async def wait_for_end(pidfd: int) -> None:
    """Wait until the process of a pidfd has ended; the pidfd stays open."""
    ended = asyncio.Event()
    on_end(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        asyncio.get_running_loop().remove_reader(pidfd)


if sys.version_info < (3, 12):

    class _Watcher(asyncio.AbstractChildWatcher):
        """Serves every loop of the process. Source: asyncio, child watchers."""

        def is_active(self) -> bool:
            return True

        def attach_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
            """Any loop will do."""

        def close(self) -> None:
            """There is nothing to give back."""

        def __enter__(self) -> Self:
            return self

        def __exit__(self, a: type[BaseException] | None, b: BaseException | None, c: TracebackType | None) -> None:
            """There is nothing to give back."""

        def add_child_handler(self, pid: int, callback: Callable[..., object], *args: Any) -> None:
            descriptor = os.pidfd_open(pid)

            def ended() -> None:
                os.close(descriptor)
                try:
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                except ChildProcessError:  # somebody else waited for it
                    code = 255
                callback(pid, code, *args)

            on_end(descriptor, ended)

        def remove_child_handler(self, pid: int) -> bool:
            # No stub: the abstract class demands the method, and asyncio never calls it. Whoever does is told aloud.
            raise AssertionError(f"nobody stops watching a child before its end, yet {pid} is asked for")


@cache
def watch_children() -> None:
    """Do without threads, where Python and the kernel (from 5.3) let us."""
    if sys.platform != "linux" or sys.version_info >= (3, 12):
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return
    asyncio.set_child_watcher(_Watcher())  # pyright: ignore[reportDeprecated] - only where it is not yet
