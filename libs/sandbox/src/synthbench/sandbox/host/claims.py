"""Names that one process of this machine has for itself, as long as it lives.

A claim is a name in Linux's abstract socket namespace: the kernel drops it with its process, so none can be stale.
"""

import socket
from pathlib import Path

_PREFIX = "synthbench-"


class NameClaim:
    """A name that is ours until `release`, or until this process ends, however it ends.

    Raises:
        OSError: another has it.
    """

    def __init__(self, name: str) -> None:
        self._lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._lock.bind(f"\0{_PREFIX}{name}")
        except OSError:
            self._lock.close()
            raise

    def release(self) -> None:
        """Let others have it; twice is as good as once."""
        self._lock.close()


def claimed() -> frozenset[str]:
    """Return the names that living processes have, ours or not. Source: proc_net(5), /proc/net/unix."""
    names = (line.rpartition(" ")[2] for line in Path("/proc/net/unix").read_text().splitlines())
    return frozenset(name.removeprefix(f"@{_PREFIX}") for name in names if name.startswith(f"@{_PREFIX}"))
