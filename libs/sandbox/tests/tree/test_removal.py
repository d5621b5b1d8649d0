"""A tree goes, whatever it holds; nothing else does."""

import os
import resource
import stat
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

import hostile_trees as hostile
from synthbench.sandbox.tree.removal import remove_below, remove_tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Something that no removal may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "kept").write_text("kept")
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Generator[Path]:
    folder = tmp_path / "tree"
    folder.mkdir()
    yield folder
    remove_tree(tmp_path)  # pytest could not


@pytest.mark.parametrize("name", ["d", "d" * 255])
def test_folders_nested_beyond_any_path_and_any_stack_are_removed(tree: Path, name: str):
    hostile.chain(tree, 3000, name)
    assert remove_tree(tree)
    assert not tree.exists()


def test_closed_odd_and_linked_entries_are_removed_and_what_they_lead_to_stays(tree: Path, outside: Path):
    hostile.closed(tree)
    hostile.odd(tree, outside)
    before = outside.stat().st_mode
    assert remove_tree(tree)
    assert not tree.exists()
    assert (outside / "kept").read_text() == "kept"
    assert outside.stat().st_mode == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file immutable")
def test_immutable_entries_are_removed(tree: Path):
    if not hostile.immutable(tree):
        pytest.skip("this file system has no immutable files, or chattr is missing")
    assert remove_tree(tree)
    assert not tree.exists()


def test_a_link_is_removed_and_not_followed(tmp_path: Path, outside: Path):
    (tmp_path / "link").symlink_to(outside)
    assert remove_tree(tmp_path / "link")
    assert (outside / "kept").exists()
    assert not (tmp_path / "link").is_symlink()


def test_what_is_not_there_is_fine(tmp_path: Path):
    assert remove_tree(tmp_path / "never" / "was")
    assert remove_tree(tmp_path / "never")


def test_few_descriptors_suffice_for_any_shape(tree: Path):
    hostile.chain(tree, 300)
    for number in range(300):
        (tree / f"wide-{number}" / "below").mkdir(parents=True)
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the number
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        gone = remove_tree(tree)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert gone


def test_out_of_time_it_says_so_and_the_next_call_goes_on(tree: Path):
    for number in range(50):
        (tree / str(number)).mkdir()
    assert not remove_tree(tree, seconds=0)
    assert tree.exists()
    assert remove_tree(tree)


def test_what_cannot_be_removed_ends_the_removal_and_not_the_process(tree: Path, monkeypatch: pytest.MonkeyPatch):
    (tree / "held").mkdir()
    (tree / "file").write_text("x")

    def busy(*_arguments: object, **_named: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "rmdir", busy)
    assert not remove_tree(tree, seconds=10)
    assert not (tree / "file").exists()


def test_folders_renamed_and_filled_while_it_works_lead_nowhere_else(tree: Path, outside: Path):
    hostile.chain(tree, 50)
    (tree / "here").mkdir()
    stop = threading.Event()

    def meddle() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for work in (
                lambda: (tree / "here").rename(tree / "there"),
                lambda: (tree / "here").symlink_to(outside),
                lambda: (tree / "there" / str(number)).mkdir(parents=True),  # noqa: B023 - called at once
                lambda: (tree / "there").rename(tree / f"d/{number}"),  # noqa: B023 - as above
            ):
                try:
                    work()
                except OSError:
                    continue

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        remove_tree(tree, seconds=1)
    finally:
        stop.set()
        meddler.join()
    assert remove_tree(tree)
    assert (outside / "kept").read_text() == "kept"


def test_one_name_of_an_open_folder_is_removed_and_its_neighbours_stay(tree: Path):
    hostile.chain(tree / "..", 1, "neighbour")
    hostile.chain(tree, 100)
    above = os.open(tree, os.O_RDONLY)
    try:
        assert remove_below(above, "d")
        assert remove_below(above, "d")  # twice is as good as once
    finally:
        os.close(above)
    assert list(tree.iterdir()) == []
    assert stat.S_ISDIR((tree.parent / "neighbour").stat().st_mode)
