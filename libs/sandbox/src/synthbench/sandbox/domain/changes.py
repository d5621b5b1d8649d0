"""Comparing two snapshots."""

from collections.abc import Collection, Mapping

from synthbench.sandbox.diff import ChangeKind, PathChange, Snapshot, SnapshotEntry
from synthbench.sandbox.domain.known_tree import is_below


def compare(old: Snapshot, new: Snapshot, paths: Collection[str] | None = None) -> tuple[PathChange, ...]:
    """Return the paths that differ between two snapshots, sorted.

    A path that is there but could not be taken in (`new.refused`) is neither deleted nor changed: it is refused.

    Args:
        old: the baseline.
        new: how it is now.
        paths: the only ones that can differ, where that is known.
    """
    unknown = {path for path, _ in new.refused}
    before, after = _only(old.entries, paths), _only(new.entries, paths)
    found = [
        _changed(path, "added" if was is None else "modified", entry)
        for path, entry in after.items()
        if (was := before.get(path)) is None or (was is not entry and _differs(was, entry))
    ]
    gone = [
        _changed(path, "deleted", entry)
        for path, entry in before.items()
        if path not in after and not is_below(path, unknown)
    ]
    return tuple(sorted([*found, *gone], key=lambda change: change.path))


def _only(entries: Mapping[str, SnapshotEntry], paths: Collection[str] | None) -> Mapping[str, SnapshotEntry]:
    return entries if paths is None else {path: entries[path] for path in paths if path in entries}


def _differs(a: SnapshotEntry, b: SnapshotEntry) -> bool:
    if (a.type, a.mode) != (b.type, b.mode):
        return True
    if a.type == "directory":
        return False
    if a.digest is None or b.digest is None:  # too big to read: the stamp is all we know
        return (a.size, a.stamp) != (b.size, b.stamp)
    return a.digest != b.digest


def _changed(path: str, kind: ChangeKind, entry: SnapshotEntry) -> PathChange:
    return PathChange(path=path, kind=kind, type=entry.type, mode=entry.mode, digest=entry.digest, size=entry.size)
