"""Tar archives that enter or leave a workspace. What enters is looked at whole before the first byte is written."""

import io
import json
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from synthbench.sandbox.diff import PathType
from synthbench.sandbox.domain.paths import DELETED, checked_relative, safe_target, shown
from synthbench.sandbox.errors import ArchiveRefused

MAX_MEMBERS = 100_000
_MEND = "pack only plain files, folders and relative links that stay inside, as an uncompressed tar"


@dataclass(frozen=True, slots=True)
class Member:
    """One thing to put into a workspace; `target` is set for links, `data` for files."""

    path: str
    type: PathType
    mode: int
    target: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class CheckedArchive:
    """An archive that may be unpacked."""

    members: tuple[Member, ...]
    deleted: tuple[str, ...]


def check_archive(archive: bytes, *, max_bytes: int, workdir: str) -> CheckedArchive:
    """Read an archive, or refuse all of it.

    Args:
        archive: an uncompressed tar; so what it unpacks to is bounded by its own size, sparse files aside.
        max_bytes: the sum of its files.
        workdir: absolute links into it are made relative, other absolute links refused.

    Raises:
        ArchiveRefused: names the first member that may not enter, and why.
    """
    members: dict[str, Member] = {}
    deleted: tuple[str, ...] = ()
    total = 0
    for info, tar in _infos(archive):
        path = _path(info.name)
        total += info.size
        if total > max_bytes:
            raise _refused(info.name, f"brings the archive over {max_bytes} bytes")
        if path == DELETED:
            deleted = _deletions(_content(tar, info))
        elif path == "." and info.isdir():
            continue
        elif path in members and members[path].type != "directory":
            raise _refused(info.name, "is in the archive twice")
        else:
            members[path] = _member(path, info, tar, workdir)
    _check_parents(members)
    return CheckedArchive(members=tuple(members.values()), deleted=deleted)


def _infos(archive: bytes) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for count, info in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise ArchiveRefused(f"the archive has more than {MAX_MEMBERS} members", "pack fewer files")
                yield info, tar
    except (tarfile.TarError, EOFError, ValueError, UnicodeError, OverflowError) as error:
        raise ArchiveRefused(f"the archive is no readable tar ({error})", _MEND) from error


def _path(name: str) -> str:
    try:
        return checked_relative(name)
    except ValueError as error:
        raise _refused(name, str(error)) from error


def _member(path: str, info: tarfile.TarInfo, tar: tarfile.TarFile, workdir: str) -> Member:
    mode = info.mode & 0o777
    if info.isdir():
        return Member(path=path, type="directory", mode=mode)
    if path == ".":
        raise _refused(info.name, "would replace the top folder")
    if info.issym():
        target = safe_target(path, info.linkname, workdir)
        if target is None:
            raise _refused(info.name, "is a link that may lead out of the workspace")
        return Member(path=path, type="symlink", mode=0o777, target=target)
    if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or info.issparse():
        raise _refused(info.name, "is a hard link" if info.islnk() else "is no plain file, folder or symbolic link")
    if info.mode & (stat.S_ISUID | stat.S_ISGID):
        raise _refused(info.name, "is setuid or setgid")
    return Member(path=path, type="file", mode=mode, data=_content(tar, info))


def _content(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(info) if info.isreg() else None
    try:
        data = file.read() if file else b""
    except tarfile.ReadError as error:
        raise _refused(info.name, "is cut short") from error
    if len(data) != info.size:
        raise _refused(info.name, "is cut short")
    return data


def _deletions(data: bytes) -> tuple[str, ...]:
    try:
        listed = json.loads(data)
    except ValueError as error:
        raise _refused(DELETED, "is no JSON") from error
    names = cast("list[object]", listed) if isinstance(listed, list) else [None]
    paths = [_path(name) for name in names if isinstance(name, str)]
    if len(paths) != len(names) or "." in paths:
        raise _refused(DELETED, "is no list of paths")
    return tuple(paths)


def _check_parents(members: dict[str, Member]) -> None:
    for path in members:
        parts = path.split("/")
        for end in range(1, len(parts)):
            parent = members.get("/".join(parts[:end]))
            if parent is not None and parent.type != "directory":
                raise _refused(path, f"lies below {parent.path!r}, which is a {parent.type}")


def _refused(name: str, reason: str) -> ArchiveRefused:
    return ArchiveRefused(f"the archive member {shown(name)!r} {reason}", _MEND)


class Packer:
    """Builds a tar that is the same for the same contents: sorted by the caller, without times and owners."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 (closed in `finish`)

    def add(self, member: Member) -> None:
        """Append one member."""
        info = tarfile.TarInfo(member.path)
        info.mode = member.mode
        info.type = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}[member.type]
        info.linkname = member.target
        info.size = len(member.data)
        self._tar.addfile(info, io.BytesIO(member.data))

    def add_deletions(self, paths: list[str]) -> None:
        """Append the list of deleted paths, if there are any."""
        if paths:
            data = json.dumps(paths, ensure_ascii=True).encode()
            self.add(Member(path=DELETED, type="file", mode=0o644, data=data))

    def finish(self) -> bytes:
        """Return the archive's bytes."""
        self._tar.close()
        return self._buffer.getvalue()
