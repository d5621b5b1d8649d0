"""What agents do to files, one small operation each. Runs in the test, and as a script inside a sandbox.

Inside: `python3 -c <this file> run`, with a JSON list of operations on stdin, in the workspace.
"""

import json
import mmap
import os
import shutil
import sys
from collections.abc import Callable


def write(path: str, text: str = "text") -> None:
    make_parent(path)
    with open(path, "w") as file:
        file.write(text)


def append(path: str, text: str = "more") -> None:
    with open(path, "a") as file:
        file.write(text)


def truncate(path: str, size: int = 2) -> None:
    os.truncate(path, size)


def map_and_write(path: str, byte: int = 65) -> None:
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = byte


def chmod(path: str, mode: int = 0o755) -> None:
    os.chmod(path, mode, follow_symlinks=True)


def touch(path: str) -> None:
    os.utime(path, (1, 1), follow_symlinks=False)


def rename(path: str, to: str) -> None:
    make_parent(to)
    os.rename(path, to)


def remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


def link(path: str, to: str) -> None:
    make_parent(to)
    os.link(path, to, follow_symlinks=False)


def swap_link(path: str, target: str) -> None:
    make_parent(path)
    os.symlink(target, path + ".new")
    os.rename(path + ".new", path)


def become_folder(path: str) -> None:
    remove(path)
    write(f"{path}/inner")


def make_folder(path: str) -> None:
    os.makedirs(path)


def fifo(path: str) -> None:
    make_parent(path)
    os.mkfifo(path)


def draft_and_rename(path: str, text: str = "whole") -> None:
    write(path + ".lock", text)
    os.rename(path + ".lock", path)


def nameless_then_linked(path: str, text: str = "nameless") -> None:
    make_parent(path)
    fd = os.open(os.path.dirname(path) or ".", os.O_TMPFILE | os.O_WRONLY, 0o644)
    os.write(fd, text.encode())
    os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)
    os.write(fd, b", and later")
    os.close(fd)


def copy_tree(path: str, to: str) -> None:
    if not (to + "/").startswith(path + "/"):
        shutil.copytree(path, to, symlinks=True)


def many(path: str, count: int = 50) -> None:
    for number in range(count):
        write(f"{path}/{number}", str(number))


def flood(path: str, count: int = 9000) -> None:
    """More events than the kernel's queue holds."""
    for number in range(count):
        write(f"{path}.flood-{number % 2}", str(number))
        os.unlink(f"{path}.flood-{number % 2}")


def make_parent(path: str) -> None:
    if folder := os.path.dirname(path):
        os.makedirs(folder, exist_ok=True)


OPERATIONS: dict[str, Callable[..., None]] = {
    one.__name__: one
    for one in (
        write, append, truncate, map_and_write, chmod, touch, rename, remove, link, swap_link, become_folder,
        make_folder, fifo, draft_and_rename, nameless_then_linked, copy_tree, many, flood,
    )
}  # fmt: skip


def run(operations: list[list[object]]) -> None:
    """Do them in order; what cannot be done is left out."""
    for name, *arguments in operations:
        try:
            OPERATIONS[str(name)](*arguments)
        except (OSError, ValueError, shutil.Error):
            continue


if sys.argv[1:] == ["run"]:
    run(json.load(sys.stdin))
