"""Putting files into a workspace: no link is followed, every file appears whole or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager

from synthbench.sandbox.domain.paths import touches
from synthbench.sandbox.errors import ArchiveRefused
from synthbench.sandbox.tree.archive import CheckedArchive, Member
from synthbench.sandbox.tree.beneath import FileOwner, open_folder
from synthbench.sandbox.tree.removal import remove_below

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def put_file(folder: int, name: str, data: bytes, *, mode: int, owner: FileOwner) -> None:
    """Write beside and rename: a link of that name is replaced, a reader sees the old file or the new one."""
    draft = f".{secrets.token_hex(8)}.part"
    fd = os.open(draft, _NEW, 0o600, dir_fd=folder)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            owner.take(fd)
            os.fchmod(fd, mode)  # after the owner: a chown clears bits
        finally:
            os.close(fd)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(draft, dir_fd=folder)
        raise


def unpack(root: int, checked: CheckedArchive, *, owner: FileOwner) -> None:
    """Unpack everything; what stands in the way is replaced."""
    for member in checked.members:
        with _parent(root, member.path, owner) as (folder, name):
            _put(folder, name, member, owner, clear=_remove_tree)
    _folder_modes(root, checked.members, owner)


def apply(root: int, checked: CheckedArchive, *, owner: FileOwner, protected: Collection[str]) -> tuple[str, ...]:
    """Delete and unpack, but for what is protected; returns the paths that were left out, sorted."""
    kept = frozenset(protected)
    left: set[str] = set()
    for path in sorted(checked.deleted, key=lambda path: path.count("/"), reverse=True):
        if touches(path, kept) or not _delete(root, path, owner):
            left.add(path)
    done: list[Member] = []
    for member in checked.members:
        if touches(member.path, kept) or not _apply_one(root, member, owner):
            left.add(member.path)
        else:
            done.append(member)
    _folder_modes(root, done, owner)
    return tuple(sorted(left))


def _apply_one(root: int, member: Member, owner: FileOwner) -> bool:
    try:
        with _parent(root, member.path, owner) as (folder, name):
            # only an emptied folder may give way: what is left in it was protected
            _put(folder, name, member, owner, clear=_remove_empty)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _put(folder: int, name: str, member: Member, owner: FileOwner, *, clear: Callable[[int, str], None]) -> None:
    kind = _kind(folder, name)
    if kind and stat.S_ISDIR(kind) != (member.type == "directory"):
        clear(folder, name)
        kind = 0
    if member.type == "file":
        put_file(folder, name, member.data, mode=member.mode, owner=owner)
    elif member.type == "symlink":
        if kind:
            os.unlink(name, dir_fd=folder)
        os.symlink(member.target, name, dir_fd=folder)
        owner.take_name(folder, name)
    elif not kind:
        os.mkdir(name, 0o755, dir_fd=folder)
        owner.take_name(folder, name)


def _remove_tree(folder: int, name: str) -> None:
    if not remove_below(folder, name):
        raise OSError(errno.ENOTEMPTY, "what stands in the way could not be removed", name)


def _remove_empty(folder: int, name: str) -> None:
    if stat.S_ISDIR(_kind(folder, name)):
        os.rmdir(name, dir_fd=folder)
    else:
        os.unlink(name, dir_fd=folder)


def _delete(root: int, path: str, owner: FileOwner) -> bool:
    try:
        with _parent(root, path, owner, make=False) as (folder, name):
            _remove_empty(folder, name)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _folder_modes(root: int, members: Collection[Member], owner: FileOwner) -> None:
    # last and deepest first: a folder of mode 0555 could not be filled by an ordinary user
    folders = [member for member in members if member.type == "directory"]
    for member in sorted(folders, key=lambda member: member.path.count("/"), reverse=True):
        with _parent(root, member.path, owner) as (folder, name):
            fd = open_folder(folder, name)
            try:
                os.fchmod(fd, member.mode)
            finally:
                os.close(fd)


def _kind(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


@contextmanager
def _parent(root: int, path: str, owner: FileOwner, *, make: bool = True) -> Generator[tuple[int, str]]:
    """The open folder above `path`, made where it is missing; a link on the way is refused, not followed."""
    *folders, name = path.split("/")
    fd = os.dup(root)
    try:
        for part in folders:
            if make and not _kind(fd, part):
                os.mkdir(part, 0o755, dir_fd=fd)
                owner.take_name(fd, part)
            try:
                child = open_folder(fd, part)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                    raise ArchiveRefused(f"the path {path!r} passes {part!r}, which is no folder here") from error
                raise
            os.close(fd)
            fd = child
        yield fd, name
    finally:
        os.close(fd)
