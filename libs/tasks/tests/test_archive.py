"""Reading a package's folder: plain files within bounds; everything else is named."""

import os
from pathlib import Path

import pytest

import hostile_trees
from synthbench.tasks.archive import read_folder
from synthbench.tasks.errors import TaskError


def test_plain_files_are_read_and_caches_are_left_out(tmp_path: Path):
    (tmp_path / "b" / "__pycache__").mkdir(parents=True)
    (tmp_path / "b" / "__pycache__" / "x.pyc").write_text("x")
    (tmp_path / "b" / "f").write_text("f")
    (tmp_path / "a").write_text("a")
    assert list(read_folder(tmp_path)) == ["a", "b/f"]


def test_folders_nested_without_end_are_refused(tmp_path: Path):
    hostile_trees.chain(tmp_path, 300)
    with pytest.raises(TaskError, match="lies more than 40 folders deep"):
        read_folder(tmp_path)


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TaskError, match="is a device, a FIFO or a socket"):
        read_folder(tmp_path)
