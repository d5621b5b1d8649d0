"""Walking a tree that its hostile owner may nest without end, and change while we walk.

By descriptors only, so that no path can be too long; without recursion; and with a fixed number of descriptors: those
of the uppermost folders stay open, and from below them the way back is `..`, believed only where it leads to the folder
that we came from.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from synthbench.sandbox.tree.beneath import open_folder

_HELD = 32  # levels whose folders stay open


@dataclass
class _Level:
    folder: int
    """Descriptor; -1 where it was closed to save descriptors."""
    identity: tuple[int, int]
    pending: list[str]


@dataclass
class FolderWalk:
    """Enters every folder below an open one, deepest first.

    Args:
        visit: told of each open folder, and how deep it lies (0 is the top); returns the names of folders in it that
            are to be entered. What it raises ends the walk.
    """

    visit: Callable[[int, int], Sequence[str]]
    _levels: list[_Level] = field(default_factory=list[_Level])

    def run(self, root: int) -> None:
        """Walk; a folder that cannot be entered, or goes or moves while we are in it, is passed over."""
        try:
            self._enter(os.dup(root))
            while self._levels:
                level = self._levels[-1]
                if not level.pending:
                    self._leave()
                    continue
                try:
                    child = open_folder(level.folder, level.pending.pop())
                except OSError:
                    continue
                if len(self._levels) > _HELD:
                    os.close(level.folder)
                    level.folder = -1
                self._enter(child)
        finally:
            for level in self._levels:
                if level.folder >= 0:
                    os.close(level.folder)

    def _enter(self, folder: int) -> None:
        self._levels.append(_Level(folder, _identity(folder), []))
        self._levels[-1].pending = list(self.visit(folder, len(self._levels) - 1))

    def _leave(self) -> None:
        """Go back to the folder above; where it is not above any more, to the next one that is still open."""
        left = self._levels.pop()
        try:
            above = self._levels[-1] if self._levels else None
            if above is None or above.folder >= 0:
                return
            back = _above(left.folder, above.identity)
            if back >= 0:
                above.folder = back
                return
            while self._levels[-1].folder < 0:
                self._levels.pop()
        finally:
            os.close(left.folder)


def _identity(folder: int) -> tuple[int, int]:
    info = os.fstat(folder)
    return info.st_dev, info.st_ino


def _above(folder: int, identity: tuple[int, int]) -> int:
    """The folder above, if it is the one that is meant; else -1."""
    try:
        above = open_folder(folder, "..")
    except OSError:
        return -1
    if _identity(above) == identity:
        return above
    os.close(above)
    return -1
