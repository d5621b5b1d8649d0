"""Checks the names and links that may stand in a workspace, or in an archive for one."""

import posixpath

DELETED = ".synthbench-deleted"  # the archive member that lists deletions; no workspace path may have this name
MAX_DEPTH = 64  # folders below one another; bounds recursion and open descriptors of every walk


def checked_relative(name: str) -> str:
    """Return a clean relative path ("." for the top); ValueError with the reason where it is none."""
    if "\0" in name:
        raise ValueError("has a NUL byte")
    if name.startswith("/"):
        raise ValueError("is absolute")
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ValueError("has '..'")
    if len(parts) > MAX_DEPTH:
        raise ValueError(f"is deeper than {MAX_DEPTH} folders")
    if not is_text(name):
        raise ValueError("is not UTF-8")
    return "/".join(parts) or "."


def is_text(name: str) -> bool:
    """Whether a file name is UTF-8: others cannot stand in JSON, and so in no event."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    r"""Return a file name for people: bytes that are not UTF-8 as \udcXX."""
    return name.encode(errors="backslashreplace").decode()


def safe_target(path: str, target: str, workdir: str) -> str | None:
    """The target of the link at `path` in a form that stays in any workspace, or None where it leads out.

    A target may climb with leading '..' only, and not above the top. A '..' after a name is refused, as that name may
    itself be a link (`a/x -> ../..`, then `y -> a/x/..` is outside although its letters are not). An absolute target
    inside `workdir` becomes relative, since another sandbox may show its workspace elsewhere.
    """
    if not target or "\0" in target or not is_text(target):
        return None
    folder = posixpath.dirname(path)
    if target.startswith("/"):
        inside = within(target, workdir)
        return None if inside is None or ".." in inside.split("/") else posixpath.relpath(inside, folder or ".")
    parts = [part for part in target.split("/") if part not in {"", "."}]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    depth = len(folder.split("/")) if folder else 0
    return None if climbs > depth or ".." in parts[climbs:] else target


def within(path: str, workdir: str) -> str | None:
    """An absolute path relative to the workdir, or None where it is not below it."""
    if path == workdir or path.startswith(workdir.rstrip("/") + "/"):
        return path[len(workdir) :].lstrip("/") or "."
    return None


def touches(path: str, protected: frozenset[str]) -> bool:
    """Whether a path is protected, lies below a protected one, or is a folder above one."""
    return any(
        path == kept or path.startswith(kept + "/") or kept.startswith(path + "/") or "." in {path, kept}
        for kept in protected
    )
