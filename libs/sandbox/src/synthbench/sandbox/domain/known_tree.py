"""The entries of a tree of files, and how walking some of its paths again updates them. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from synthbench.sandbox.diff import SnapshotEntry


@dataclass
class WalkResult:
    """The entries that a walk over a tree found.

    Attributes:
        entries: what may be taken in, by path.
        refused: why not, by path ("." for the whole), the path as the file system names it.
        doubtful: paths that may change although nobody who watches their folders is told.
        folders: the names in each folder that was listed; "" is the top.
        full: there was more than may be taken in.
    """

    entries: dict[str, SnapshotEntry] = field(default_factory=dict[str, SnapshotEntry])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    doubtful: set[str] = field(default_factory=set[str])
    folders: dict[str, Collection[str]] = field(default_factory=dict[str, Collection[str]])
    full: bool = False


class KnownTree:
    """The entries of a tree by path, and the names in each folder; replacing a part costs as much as that part.

    A path that was known and is refused by now keeps its entry: its state cannot be read, and whoever replays the
    changes of all steps must learn of its deletion.

    Args:
        found: a walk over everything.
        before: entries of the walk before.
    """

    def __init__(self, found: WalkResult, before: dict[str, SnapshotEntry]) -> None:
        self.entries = found.entries
        self.refused = found.refused
        self.doubtful = found.doubtful
        self._names = {folder: set(names) for folder, names in found.folders.items()}
        if found.refused and not found.full:
            for path, entry in before.items():
                if path not in self.entries and is_below(path, found.refused):
                    self.entries[path] = entry
                    self._name(path)

    def below(self, path: str) -> Iterator[str]:
        """Yield the path and every known path below it, with or without an entry."""
        todo = [path]
        while todo:
            path = todo.pop()
            yield path
            todo += [f"{path}/{name}" for name in self._names.get(path, ())]

    def replace(self, looked: Collection[str], found: WalkResult) -> set[str]:
        """Replace the entries at these paths, and below them, by those of a new walk; return the paths that may differ.

        `entries` is a new mapping afterwards: the old one stays as it was.
        """
        old = {path for top in looked for path in self.below(top)}
        self.entries = dict(self.entries)
        kept: list[str] = []
        for path in old:
            self.refused.pop(path, None)
            self.doubtful.discard(path)
            self._names.pop(path, None)
            if path in self.entries and path not in found.entries:
                if is_below(path, found.refused):
                    kept.append(path)
                else:
                    del self.entries[path]
        self.entries.update(found.entries)
        self.refused.update(found.refused)
        self.doubtful |= found.doubtful
        self._names.update({folder: set(names) for folder, names in found.folders.items()})
        self._rename(looked)
        self._rename(kept)
        return old.union(found.entries)

    def _rename(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._name(path, there=path in self.entries or path in self.refused)

    def _name(self, path: str, *, there: bool = True) -> None:
        folder, _, name = path.rpartition("/")
        names = self._names.setdefault(folder, set())
        if there:
            names.add(name)
        else:
            names.discard(name)


def is_below(path: str, folders: Collection[str]) -> bool:
    """Whether a path, or a folder above it, is among these ("." stands for everything)."""
    if not folders:
        return False
    if path in folders or "." in folders:
        return True
    return any(folder in folders for folder in above(path))


def above(path: str) -> Iterator[str]:
    """Yield the folders above a path, the lowest first, without the top."""
    end = path.rfind("/")
    while end > 0:
        yield path[:end]
        end = path.rfind("/", 0, end)
