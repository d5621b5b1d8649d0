"""Named points at which a test lets this process die. They do nothing unless `SYNTHBENCH_FAILPOINTS` names a folder.

A file in that folder arms the point of its name, once: whoever passes first takes the file away and kills itself. The
content `stop` stops the process (SIGSTOP) instead of killing it.
"""

import asyncio
import os
import signal
from pathlib import Path

_SETTING = "SYNTHBENCH_FAILPOINTS"
"""Read at each point: a service may be a fork of a process that was started in another environment."""


def failpoint(name: str) -> None:
    """Die here, if the point is armed."""
    folder = os.environ.get(_SETTING)
    if folder is None:
        return
    armed = Path(folder, name)
    taken = armed.with_name(f"{name}.taken-{os.getpid()}")
    try:
        armed.rename(taken)
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGSTOP if taken.read_text() == "stop" else signal.SIGKILL)


def failpoint_soon(name: str, seconds: float = 0.02) -> None:
    """The same while what is begun now is under way."""
    if _SETTING in os.environ:
        asyncio.get_running_loop().call_later(seconds, failpoint, name)
