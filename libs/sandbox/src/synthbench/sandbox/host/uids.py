"""One uid for each sandbox, taken by no other process of this machine."""

import os
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from synthbench.sandbox.errors import SandboxError

FIRST, COUNT = 200_000, 10_000


@dataclass
class UidLease:
    """A uid that is ours until `release`, or until this process ends, however it ends."""

    uid: int
    _lock: socket.socket

    def release(self) -> None:
        """Let others have it."""
        self._lock.close()


def can_lease() -> bool:
    """Whether we may become other users, and can keep others from taking the same uid."""
    return sys.platform == "linux" and os.geteuid() == 0


def lease_uid(root: Path) -> UidLease:
    """Take the next free uid.

    The lock is a name in Linux's abstract socket namespace: the kernel drops it with its process, so no stale lock
    file can exist. Uids whose files still lie under `root` (their process was killed) are passed over until they are
    removed.

    Args:
        root: the folder with a folder for each sandbox.

    Raises:
        SandboxError: all are taken.
    """
    used = _left_behind(root)
    start = os.getpid() * 37 % COUNT  # processes begin apart, so they seldom try the same one
    for step in range(COUNT):
        uid = FIRST + (start + step) % COUNT
        if uid in used:
            continue
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0synthbench-uid-{uid}")
        except OSError:
            lock.close()
            continue
        return UidLease(uid, lock)
    raise SandboxError(f"all {COUNT} sandbox uids are taken", f"remove left-over folders under {root}")


def _left_behind(root: Path) -> Collection[int]:
    used: set[int] = set()
    for folder in os.scandir(root):
        try:
            used.add(Path(folder.path, "workspace").lstat().st_uid)
        except OSError:
            continue  # being made or removed: its maker holds the lock
    return used
