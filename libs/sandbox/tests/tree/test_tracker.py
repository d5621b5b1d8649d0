"""A step at the cost of what changed says the same as a walk over everything."""

import mmap
import os
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings

import file_operations
from steps import STEPS, bare, judge, second
from synthbench.sandbox.diff import Diff, PathChange, Snapshot
from synthbench.sandbox.tree import tracker
from synthbench.sandbox.tree.beneath import FileOwner
from synthbench.sandbox.tree.notices import Notices
from synthbench.sandbox.tree.old_texts import OldTexts
from synthbench.sandbox.tree.pack import DiffBuilder
from synthbench.sandbox.tree.workspace import WorkspaceFiles

EXAMPLES = 2000 if os.environ.get("FULL") else 100


@dataclass
class Tree:
    """A workspace whose steps are judged, and a second one that gets their archives."""

    root: Path
    side: Path
    workspace: WorkspaceFiles
    copy: WorkspaceFiles
    base: Snapshot

    def do(self, *todo: list) -> None:
        with chdir(self.root):
            file_operations.run(list(todo))

    def step(self, *, busy: bool = False) -> list[str]:
        """Take a step, judge it; return the paths that it names."""
        before = self.base
        diff, self.base = self.workspace.step(before, busy=busy)
        judge(self.root, "/workspace", None, self.side / "fresh", before, (diff, self.base))
        assert self.copy.apply(diff.archive, ()) == ()
        assert bare(self.copy.snapshot()) == bare(self.base)
        return [change.path for change in diff.changes]


@contextmanager
def a_tree(*, watched: bool = True) -> Generator[Tree]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as name:
        folder = Path(name)
        (folder / "root").mkdir()
        notices = Notices() if watched else None
        workspace = WorkspaceFiles(
            "s", folder / "root", "/workspace", OldTexts(folder / "texts"), FileOwner(), 1 << 30, notices
        )
        copy = second(folder / "copy", folder / "copied-texts")
        try:
            yield Tree(folder / "root", folder, workspace, copy, workspace.snapshot())
        finally:
            workspace.close()


@settings(max_examples=EXAMPLES, deadline=None)
@given(STEPS)
def test_steps_say_what_a_walk_says(steps: list[list[list]]):
    with a_tree() as tree:
        for todo in steps:
            tree.do(*todo)
            tree.step()


@pytest.mark.parametrize(
    "todo",
    [
        ["write", "a", "x"], ["append", "a"], ["truncate", "a"], ["map_and_write", "a"], ["chmod", "a", 0o600],
        ["draft_and_rename", "a"], ["remove", "a"], ["write", "b/x"], ["remove", "b/kept"], ["many", "b"],
        ["nameless_then_linked", "b/x"], ["become_folder", "b/kept"], ["copy_tree", "d", "b/d"], ["rename", "d", "b/d"],
    ],
    ids=lambda todo: " ".join(map(str, todo)),
)  # fmt: skip
def test_the_operations_change_nothing_through_a_link_that_leads_out(tmp_path: Path, todo: list):
    """They run as whoever runs the tests: as root one of them would empty /etc/passwd."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "folder").mkdir(parents=True)
    root.mkdir()
    for kept in (outside / "file", outside / "folder/kept"):
        kept.write_text("as it was")
    before = _state_of(outside)
    with chdir(root):
        file_operations.run([["make_folder", "d"], ["swap_link", "a", str(outside / "file")]])
        file_operations.run([["swap_link", "b", str(outside / "folder")], todo])
    assert _state_of(outside) == before


def _state_of(folder: Path) -> dict[Path, list[int]]:
    """All that lstat says but for the time of the last look: this looks, too."""
    names = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns")
    return {path: [getattr(path.lstat(), name) for name in names] for path in folder.rglob("*")}


def walks(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each walk over everything from here on."""
    seen: list[object] = []
    walk = tree.workspace._tracker._walk
    monkeypatch.setattr(
        tree.workspace._tracker, "_walk", lambda *args, **kept: seen.append(args) or walk(*args, **kept)
    )
    return seen


def test_an_ordinary_step_walks_nothing(monkeypatch: pytest.MonkeyPatch):
    with a_tree() as tree:
        tree.do(["many", "src"], ["many", "src/deep/er"])
        tree.step()
        walked = walks(tree, monkeypatch)
        tree.do(["write", "src/1", "new"], ["rename", "src/deep", "elsewhere"], ["remove", "src/2"])
        assert {"src/1", "src/2", "src/deep", "elsewhere", "elsewhere/er/7"} <= set(tree.step())
        tree.do(["append", "elsewhere/er/7"])
        assert tree.step() == ["elsewhere/er/7"]
        assert tree.step() == []
        tree.workspace.write("by/the/host", b"1", None)
        assert tree.step() == ["by", "by/the", "by/the/host"]
        assert walked == []


def test_a_flooded_queue_costs_one_walk(monkeypatch: pytest.MonkeyPatch):
    with a_tree() as tree:
        tree.do(["write", "kept", "1"])
        tree.step()
        walked = walks(tree, monkeypatch)
        tree.do(["flood", "x"], ["write", "kept", "2"])
        assert tree.step() == ["kept"]
        assert len(walked) == 1
        tree.do(["write", "kept", "3"])
        assert tree.step() == ["kept"]
        assert len(walked) == 1


def test_more_folders_than_one_may_watch_are_walked_for_a_while(monkeypatch: pytest.MonkeyPatch):
    with a_tree() as tree:
        assert tree.workspace.notices
        tree.workspace.notices._most = 20
        tree.do(*(["make_folder", f"f{number}"] for number in range(30)), ["write", "f3/x", "1"])
        assert "f3/x" in tree.step()
        walked = walks(tree, monkeypatch)
        tree.do(["append", "f3/x"])
        assert tree.step() == ["f3/x"]
        assert len(walked) == 1
        tree.do(*(["remove", f"f{number}"] for number in range(20)))
        for _ in range(25):
            tree.step()
        seen = len(walked)
        tree.do(["write", "f29/x", "1"])
        assert tree.step() == ["f29/x"]
        assert len(walked) == seen


def test_no_watch_at_all_is_a_walk_each_time(monkeypatch: pytest.MonkeyPatch):
    with a_tree(watched=False) as tree:
        walked = walks(tree, monkeypatch)
        tree.do(["write", "a"])
        assert tree.step() == ["a"]
        assert tree.step() == []
        assert len(walked) == 2


def test_a_root_that_was_replaced_is_walked(monkeypatch: pytest.MonkeyPatch):
    with a_tree() as tree:
        tree.do(["write", "a", "1"], ["write", "b", "1"])
        tree.step()
        tree.root.rename(tree.side / "old")
        tree.root.mkdir()
        (tree.root / "b").write_text("2")
        assert tree.step() == ["a", "b"]
        tree.do(["write", "c"])
        assert tree.step() == ["c"]


def test_a_mapped_file_is_read_while_something_runs():
    with a_tree() as tree:
        path = tree.root / "mapped"
        path.write_bytes(bytes(4096))
        tree.step()
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            for value in range(3):  # the page stays dirty: only the first write moves the file's time
                mapped[0] = value + 1
                assert tree.step(busy=True) == ["mapped"]
            time.sleep(0.2)
            mapped[0] = 9
            assert tree.step(busy=True) == ["mapped"]
            mapped[0] = 10
        assert tree.step() == ["mapped"]
        assert tree.step() == []


def test_a_file_that_changes_while_it_is_packed_comes_again(monkeypatch: pytest.MonkeyPatch):
    with a_tree() as tree:
        build = DiffBuilder.build

        def changed_first(self: DiffBuilder, changes: Sequence[PathChange]) -> Diff:
            monkeypatch.undo()
            (tree.root / "a").write_text("second")
            (tree.root / "b").unlink()
            return build(self, changes)

        monkeypatch.setattr(DiffBuilder, "build", changed_first)
        (tree.root / "a").write_text("first")
        (tree.root / "b").write_text("first")
        before = tree.base
        diff, tree.base = tree.workspace.step(before, busy=False)
        assert [path for path, _ in diff.refused] == ["b"]
        tree.copy.apply(diff.archive, ())
        assert tree.copy.read("a", 10) == b"second"
        (tree.root / "a").write_text("first")
        assert tree.step() == ["a"]


def test_the_bounds_of_a_walk_hold_for_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tracker, "MAX_ENTRIES", 30)
    with a_tree() as tree:
        tree.workspace._tracker.new_scan = lambda known: replace(tree.workspace._new_scan(known), room=30)
        tree.do(["many", "x", 20])
        tree.step()
        tree.do(["many", "y", 20])
        diff, tree.base = tree.workspace.step(tree.base, busy=False)
        assert [path for path, _ in diff.refused] == ["."]
        tree.do(["remove", "x"])
        diff, tree.base = tree.workspace.step(tree.base, busy=False)
        assert "x" in [change.path for change in diff.changes]
        assert tree.base.refused == ()
