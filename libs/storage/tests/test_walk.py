"""Folders of any depth are walked without recursion."""

import os
from pathlib import Path

import pytest

from hostile_trees import chain
from synthbench.sandbox.tree.removal import remove_tree
from synthbench.storage.walk import files_below


def test_files_of_every_level_are_found_and_links_are_not_followed(tmp_path: Path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("x")
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    for name in ("one", "a/two", "a/b/three"):
        (top / name).write_text("x")
    (top / "a/link").symlink_to(tmp_path / "outside")
    assert {path.relative_to(top).as_posix() for path in files_below(top)} == {"one", "a/two", "a/b/three", "a/link"}


def test_folders_nested_without_end_are_passed_over_where_no_path_is_long_enough(tmp_path: Path):
    chain(tmp_path, 3000)
    (tmp_path / "file").write_text("x")
    try:
        assert [path.name for path in files_below(tmp_path)] == ["file"]
    finally:  # pytest's own removal recurses
        remove_tree(tmp_path / "d")
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("name", ["absent", "file"])
def test_what_is_no_folder_has_no_files(tmp_path: Path, name: str):
    (tmp_path / "file").write_text("x")
    assert list(files_below(tmp_path / name)) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_cannot_be_read_is_passed_over(tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "file").write_text("x")
    assert [path.name for path in files_below(tmp_path)] == ["file"]
