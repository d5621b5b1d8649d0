"""One uid for each sandbox, taken by no other process of this machine."""

import itertools
import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.claims import NameClaim

FIRST, COUNT = 200_000, 10_000
_turns = itertools.count()


@dataclass
class UidLease:
    """A uid that is ours until `release`, or until this process ends, however it ends."""

    uid: int
    _claim: NameClaim

    def release(self) -> None:
        """Let others have it."""
        self._claim.release()


def can_lease() -> bool:
    """Return whether we may become other users, and can keep others from taking the same uid."""
    return sys.platform == "linux" and os.geteuid() == 0


def lease_uid(root: Path) -> UidLease:
    """Take the next free uid.

    One that was just given back comes last: until its dead processes are reaped they count against its limits. Uids
    whose files still lie under `root` (their process was killed) are passed over until they are removed.

    Args:
        root: the folder with a folder for each sandbox.

    Raises:
        SandboxError: all are taken.
    """
    used = _left_behind(root)
    for _ in range(COUNT):
        uid = FIRST + (os.getpid() * 37 + next(_turns)) % COUNT  # processes begin apart, and seldom try the same one
        if uid in used:
            continue
        try:
            return UidLease(uid, claim_uid(uid))
        except OSError:
            continue
    raise SandboxError(f"all {COUNT} sandbox uids are taken", f"remove left-over folders under {root}")


def claim_uid(uid: int) -> NameClaim:
    """Keep a uid from everybody else on this machine.

    Raises:
        OSError: somebody has it.
    """
    return NameClaim(f"uid-{uid}")


def _left_behind(root: Path) -> Collection[int]:
    used: set[int] = set()
    for folder in os.scandir(root):
        try:
            used.add(Path(folder.path, "workspace").lstat().st_uid)
        except OSError:
            continue  # being made or removed: its maker holds the lock
    return used
