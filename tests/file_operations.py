"""What agents do to files, one small operation each. Runs in the test, and as a script inside a sandbox.

Inside: `python3 -c <this file> run`, with a JSON list of operations on stdin, in the workspace.

In the test it is the machine's own user who does them, perhaps root: nothing is changed through a link that leads out.
"""

import json
import mmap
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path


def write(path: str, text: str = "text") -> None:
    put(within_folder(path), text, os.O_CREAT | os.O_TRUNC)


def append(path: str, text: str = "more") -> None:
    put(Path(path), text, os.O_CREAT | os.O_APPEND)


def put(path: Path, text: str, flags: int) -> None:
    # not blocking: a FIFO without a reader is an error then
    fd = os.open(inside(path), os.O_WRONLY | os.O_NONBLOCK | flags, 0o644)
    os.write(fd, text.encode())
    os.close(fd)


def truncate(path: str, size: int = 2) -> None:
    os.truncate(inside(path), size)


def map_and_write(path: str, byte: int = 65) -> None:
    with inside(path).open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = byte


def chmod(path: str, mode: int = 0o755) -> None:
    inside(path).chmod(mode)


def touch(path: str) -> None:
    os.utime(path, (1, 1), follow_symlinks=False)


def rename(path: str, to: str) -> None:
    Path(path).rename(within_folder(to))


def remove(path: str) -> None:
    if Path(path).is_dir() and not Path(path).is_symlink():
        shutil.rmtree(path)
    else:
        Path(path).unlink()


def link(path: str, to: str) -> None:
    os.link(path, within_folder(to), follow_symlinks=False)


def swap_link(path: str, target: str) -> None:
    draft = within_folder(path + ".new")
    draft.symlink_to(target)
    draft.rename(path)


def become_folder(path: str) -> None:
    remove(path)
    write(f"{path}/inner")


def make_folder(path: str) -> None:
    Path(path).mkdir(parents=True)


def fifo(path: str) -> None:
    os.mkfifo(within_folder(path))


def draft_and_rename(path: str, text: str = "whole") -> None:
    write(path + ".lock", text)
    Path(path + ".lock").rename(path)


def nameless_then_linked(path: str, text: str = "nameless") -> None:
    fd = os.open(within_folder(path).parent, os.O_TMPFILE | os.O_WRONLY, 0o644)
    os.write(fd, text.encode())
    os.link(f"/proc/self/fd/{fd}", path, follow_symlinks=True)
    os.write(fd, b", and later")
    os.close(fd)


def copy_tree(path: str, to: str) -> None:
    if not (to + "/").startswith(path + "/"):
        shutil.copytree(path, inside(to), symlinks=True)


def many(path: str, count: int = 50) -> None:
    for number in range(count):
        write(f"{path}/{number}", str(number))


def flood(path: str, count: int = 9000) -> None:
    """More events than the kernel's queue holds."""
    for number in range(count):
        write(f"{path}.flood-{number % 2}", str(number))
        remove(f"{path}.flood-{number % 2}")


def within_folder(path: str) -> Path:
    """The path, in a folder that is there."""
    inside(Path(path).parent).mkdir(parents=True, exist_ok=True)
    return Path(path)


def inside(path: str | Path) -> Path:
    """The path, if what it leads to is in the workspace."""
    if not Path(os.path.realpath(path)).is_relative_to(Path.cwd()):
        raise PermissionError(f"{path} leads out of the workspace")
    return Path(path)


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
            inside(Path(str(arguments[0])).parent)
            OPERATIONS[str(name)](*arguments)
        except (OSError, ValueError, shutil.Error):
            continue


if sys.argv[1:] == ["run"]:
    run(json.load(sys.stdin))
