"""Comparing two snapshots."""

from collections.abc import Collection

from synthbench.sandbox.protocol import ChangedPath, ChangeKind, Entry, Snapshot


def compare(old: Snapshot, new: Snapshot) -> tuple[ChangedPath, ...]:
    """What differs, sorted by path.

    A path that is there but could not be taken in (`new.refused`) is neither deleted nor changed: it is refused.
    """
    unknown = {path for path, _ in new.refused}
    found = [
        _changed(path, "added" if before is None else "modified", entry)
        for path, entry in new.entries.items()
        if (before := old.entries.get(path)) is None or (before is not entry and _differs(before, entry))
    ]
    gone = [
        _changed(path, "deleted", entry)
        for path, entry in old.entries.items()
        if path not in new.entries and not _below(path, unknown)
    ]
    return tuple(sorted([*found, *gone], key=lambda change: change.path))


def _differs(a: Entry, b: Entry) -> bool:
    if (a.type, a.mode) != (b.type, b.mode):
        return True
    if a.type == "directory":
        return False
    if a.digest is None or b.digest is None:  # too big to read: the stamp is all we know
        return (a.size, a.stamp) != (b.size, b.stamp)
    return a.digest != b.digest


def _below(path: str, folders: Collection[str]) -> bool:
    if not folders:
        return False
    if path in folders or "." in folders:
        return True
    parts = path.split("/")
    return any("/".join(parts[:end]) in folders for end in range(1, len(parts)))


def _changed(path: str, kind: ChangeKind, entry: Entry) -> ChangedPath:
    return ChangedPath(path=path, kind=kind, type=entry.type, mode=entry.mode, digest=entry.digest, size=entry.size)
