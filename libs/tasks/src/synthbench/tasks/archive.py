"""Files of a package in memory, and the one tar that stands for them."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from synthbench.tasks.errors import PackageArchiveRefused, TaskError, problem

MAX_BYTES = 256 * 1024 * 1024
MAX_FILES = 20_000
MAX_DEPTH = 40
"""Names in a path of a package."""
_IGNORED = ("__pycache__", ".git", ".DS_Store", ".pytest_cache", ".ruff_cache")


class PackedFile(NamedTuple):
    """A file of a package."""

    data: bytes
    executable: bool = False


Files = Mapping[str, PackedFile]


def read_folder(folder: Path) -> dict[str, PackedFile]:
    """Read a package's folder; caches and version control are left out.

    Raises:
        TaskError: no such folder, a link, or too much.
    """
    if not folder.is_dir():
        raise TaskError(str(folder), [problem("", "there is no such folder")])
    found: dict[str, PackedFile] = {}
    size = 0
    todo = [folder]
    while todo:
        for path in todo.pop().iterdir():
            relative = path.relative_to(folder)
            if path.name in _IGNORED:
                continue
            if reason := _unfit(path, relative):
                raise TaskError(str(folder), [problem(str(relative), reason)])
            if path.is_dir():
                todo.append(path)
                continue
            size += path.stat().st_size
            if size > MAX_BYTES or len(found) >= MAX_FILES:
                raise TaskError(
                    str(folder), [problem(str(relative), f"over {MAX_BYTES} bytes or {MAX_FILES} files in all")]
                )
            found[relative.as_posix()] = PackedFile(path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return dict(sorted(found.items()))


def _unfit(path: Path, relative: Path) -> str:
    """Why something in a package's folder cannot be packed; empty where it can."""
    if path.is_symlink():
        return "is a link; put a file there"
    if len(relative.parts) > MAX_DEPTH:
        return f"lies more than {MAX_DEPTH} folders deep"
    return "" if path.is_dir() or path.is_file() else "is a device, a FIFO or a socket; put a file there"


def make_tar(files: Files) -> bytes:
    """Pack files: the same bytes for the same files, whoever packs them and when."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            info = tarfile.TarInfo(name)
            info.size = len(files[name].data)
            info.mode = 0o755 if files[name].executable else 0o644
            archive.addfile(info, io.BytesIO(files[name].data))
    return buffer.getvalue()


def read_tar(archive: bytes) -> dict[str, PackedFile]:
    """Read a tar that anybody may have made.

    Raises:
        PackageArchiveRefused: it is none, or holds something else than plain files below its top.
    """
    found: dict[str, PackedFile] = {}
    size = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for count, member in enumerate(tar):
                parts = member.name.split("/")
                if member.name.startswith("/") or ".." in parts or "\0" in member.name or len(parts) > MAX_DEPTH:
                    raise _refused(member.name, "leads out of the package")
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise _refused(member.name, "is no plain file")
                size += member.size
                if size > MAX_BYTES or count > MAX_FILES:
                    raise _refused(member.name, f"brings it over {MAX_BYTES} bytes or {MAX_FILES} files")
                name = "/".join(part for part in parts if part not in ("", "."))
                if name in found:
                    raise _refused(member.name, "is there twice")
                body = tar.extractfile(member)
                data = body.read() if body else b""
                if len(data) != member.size:
                    raise _refused(member.name, "is cut short")
                found[name] = PackedFile(data, bool(member.mode & 0o100))
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise PackageArchiveRefused("archive", [problem("", f"is no readable tar: {error}")]) from error
    return found


def _refused(name: str, reason: str) -> PackageArchiveRefused:
    shown = name.encode(errors="backslashreplace").decode()[:200]
    return PackageArchiveRefused("archive", [problem(shown, reason)])
