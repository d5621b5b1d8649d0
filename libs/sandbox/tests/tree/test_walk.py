"""A walk meets every folder, with few descriptors, and comes back from any depth."""

import os
import resource
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

import hostile_trees as hostile
from synthbench.sandbox.host.disk import DiskWatch
from synthbench.sandbox.tree.old_texts import OldTexts
from synthbench.sandbox.tree.removal import remove_tree
from synthbench.sandbox.tree.scan import Scan
from synthbench.sandbox.tree.walk import FolderWalk


def walked(top: Path, meet: Callable[[int], None] = lambda _depth: None) -> list[tuple[int, frozenset[str]]]:
    """Every folder's depth and names."""
    found: list[tuple[int, frozenset[str]]] = []

    def visit(folder: int, depth: int) -> list[str]:
        meet(depth)
        names = os.listdir(folder)
        found.append((depth, frozenset(names)))
        return [name for name in names if os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode & 0o40000]

    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        FolderWalk(visit).run(root)
    finally:
        os.close(root)
    return found


def scanned(top: Path, tmp_path: Path, **settings: float) -> Scan:
    root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    try:
        scan = Scan("/workspace", OldTexts(tmp_path / "texts"), None, **settings)  # pyright: ignore[reportArgumentType] - each fits
        scan.take(root, "one")
        return scan
    finally:
        os.close(root)


@pytest.fixture
def top(tmp_path: Path) -> Generator[Path]:
    folder = tmp_path / "top"
    folder.mkdir()
    yield folder
    remove_tree(tmp_path)  # pytest could not


def test_every_folder_is_met_once_however_deep(top: Path):
    hostile.chain(top, 200)
    hostile.chain(top, 100, "e")
    (top / "wide" / "below").mkdir(parents=True)
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the number
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 60, hard))
    try:
        found = walked(top)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found) == 1 + 200 + 100 + 2
    assert max(depth for depth, _ in found) == 200
    assert len(os.listdir("/proc/self/fd")) == used  # noqa: PTH208 - only the number


def test_a_folder_that_was_moved_while_it_was_walked_leads_nowhere_else(top: Path):
    hostile.chain(top, 100)
    (top / "last").mkdir()
    (top.parent / "elsewhere").mkdir()
    deep = "d/" * 60

    def move(depth: int) -> None:
        if depth == 80:
            (top / f"{deep}d").rename(top.parent / "elsewhere" / "d")

    found = walked(top, move)
    assert (1, frozenset()) in found  # `last` is met all the same
    assert frozenset({"elsewhere", "top"}) not in {names for _, names in found}


def test_bytes_below_any_path_count_for_the_disk(top: Path):
    hostile.chain(top, 3000, "d" * 100)
    watch = DiskWatch([top], 12_000_000 + 3000 * 4096 + 8192, None)  # pyright: ignore[reportArgumentType] - no sandbox is needed
    assert not watch.exceeded()
    watch = DiskWatch([top], 3000 * 4096, None)  # pyright: ignore[reportArgumentType] - no sandbox is needed
    assert watch.exceeded()


def test_a_scan_takes_in_what_is_shallow_and_names_what_is_too_deep(top: Path, tmp_path: Path):
    hostile.chain(top, 3000)
    (top / "z").write_text("z")
    found = scanned(top, tmp_path).found
    assert "z" in found.entries
    assert list(found.refused.values()) == ["is deeper than 64 folders"]
    assert not found.full


def test_a_scan_names_paths_that_no_program_could_open(top: Path, tmp_path: Path):
    hostile.chain(top, 30, "d" * 255)
    found = scanned(top, tmp_path).found
    assert list(found.refused.values()) == ["its path is longer than 4095 bytes"]


@pytest.mark.parametrize("make", [lambda path: path.write_text("x"), os.mkfifo])
def test_a_scan_ends_after_so_many_names_taken_in_or_refused(top: Path, tmp_path: Path, make: Callable[[Path], object]):
    for number in range(30):
        make(top / str(number))
    found = scanned(top, tmp_path, room=10).found
    assert found.full
    assert len(found.entries) + len(found.refused) == 10 + 1
    assert "more than" in found.refused["."]
    assert not scanned(top, tmp_path, room=30).found.full


def test_a_scan_out_of_time_says_so(top: Path, tmp_path: Path):
    (top / "file").write_text("x")
    found = scanned(top, tmp_path, seconds=-1).found
    assert found.full
    assert "took more than" in found.refused["."]


def test_folders_that_cannot_be_listed_are_refused_and_the_rest_is_read(top: Path, tmp_path: Path):
    hostile.closed(top)
    (top / "open").write_text("x")
    found = scanned(top, tmp_path).found
    assert "open" in found.entries
    if os.geteuid() != 0:
        assert any("cannot be read" in reason for reason in found.refused.values())
