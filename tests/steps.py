"""How steps are judged: by a fresh walk, and by a second tree that gets nothing but their archives."""

from collections.abc import Collection
from pathlib import Path

from hypothesis import strategies as st

from synthbench.sandbox.diff import Diff, Snapshot, SnapshotEntry
from synthbench.sandbox.domain.changes import compare
from synthbench.sandbox.domain.known_tree import is_below
from synthbench.sandbox.tree.beneath import FileOwner, opened_root
from synthbench.sandbox.tree.old_texts import OldTexts
from synthbench.sandbox.tree.scan import Scan
from synthbench.sandbox.tree.workspace import WorkspaceFiles

PATHS = st.lists(st.sampled_from(["a", "b", "c d"]), min_size=1, max_size=3).map("/".join)
TARGETS = st.sampled_from(["a", "b/a", "../a", "/etc/passwd", "nowhere"])
TEXTS = st.text("xyz\n\0", max_size=12)
OPERATION = st.one_of(
    st.tuples(st.sampled_from(["write", "write", "append", "draft_and_rename", "nameless_then_linked"]), PATHS, TEXTS),
    st.tuples(st.sampled_from(["map_and_write", "truncate", "touch", "become_folder", "make_folder", "fifo"]), PATHS),
    st.tuples(st.just("remove"), PATHS),
    st.tuples(st.sampled_from(["rename", "rename", "link", "link", "copy_tree"]), PATHS, PATHS),
    st.tuples(st.just("swap_link"), PATHS, TARGETS),
    st.tuples(st.just("chmod"), PATHS, st.sampled_from([0o644, 0o755, 0o700, 0o4755])),
    st.tuples(st.just("many"), PATHS, st.sampled_from([3, 40])),
).map(list)
STEPS = st.lists(st.lists(OPERATION, min_size=1, max_size=6), min_size=1, max_size=6)


def judge(
    root: Path, workdir: str, owner: int | None, side: Path, before: Snapshot, step: tuple[Diff, Snapshot]
) -> None:
    """Fail where a step does not say what a walk that knows nothing says."""
    diff, now = step
    with opened_root(root) as fd:
        fresh = Scan(workdir, OldTexts(side), owner).take(fd, before.sandbox)
    unknown = {path for path, _ in fresh.refused}
    assert now.refused == fresh.refused
    assert bare(now, without=unknown) == bare(fresh, without=unknown)
    # what was known and is refused by now counts as it was
    kept = {path: entry for path, entry in before.entries.items() if is_below(path, unknown)}
    expected = Snapshot(before.sandbox, 0, {**kept, **fresh.entries}, fresh.refused)
    said = [(change.path, change.kind, change.type, change.mode, change.digest, change.size) for change in diff.changes]
    assert said == [
        (change.path, change.kind, change.type, change.mode, change.digest, change.size)
        for change in compare(before, expected)
    ]


def bare(snapshot: Snapshot, *, without: Collection[str] = ()) -> dict[str, SnapshotEntry | tuple[object, ...]]:
    """Entries without stamps."""
    return {
        path: (entry.type, entry.mode, entry.digest, entry.size)
        for path, entry in snapshot.entries.items()
        if not is_below(path, without)
    }


def second(folder: Path, side: Path) -> WorkspaceFiles:
    """A workspace that gets the archives."""
    folder.mkdir()
    return WorkspaceFiles("second", folder, "/workspace", OldTexts(side), FileOwner(), 1 << 30)
