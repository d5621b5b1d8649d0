"""Random trees of a hostile owner: read, packed, applied elsewhere and removed; nothing else is touched."""

import os
import socket
import stat
import tempfile
from collections.abc import Callable
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from fuzzing import fuzz
from hostile_trees import chain
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.tree.beneath import FileOwner
from synthbench.sandbox.tree.old_texts import OldTexts
from synthbench.sandbox.tree.removal import remove_tree
from synthbench.sandbox.tree.workspace import WorkspaceFiles

ODD_NAMES = [
    b"n\nl", b"\xff\xfe", b"a\xffb", b"x" * 255, "ä".encode() * 127, b"-rf", b" ", b"...", b"\x1b[31m", b"\r", b"\\",
    b"*", b"$HOME", b"~", b".git", b".synthbench-deleted", b".synthbench", "\u2028".encode(),
    "\ud800".encode(errors="surrogatepass"),
]  # fmt: skip
NAMES = (
    st.sampled_from([b"a", b"b", b"c"])
    | st.sampled_from(ODD_NAMES)
    | st.binary(min_size=1, max_size=12)
    .map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda name: name not in (b".", b".."))
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)
MODES = st.sampled_from([0, 0o111, 0o200, 0o444, 0o600, 0o755, 0o777, 0o1777, 0o2755, 0o4755, 0o6777])
TARGETS = st.sampled_from(
    [b"a", b"b/c", b".", b"..", b"../outside", b"../outside/kept", b"/", b"/etc/passwd", b"/proc/self/root",
        b"/workspace/a",
     b"/workspace/../etc", b"a/../../outside", b"\xff", b"x" * 4000, b"n\nl", b"/dev/zero"]
) | PATHS  # fmt: skip
SIZES = st.sampled_from([0, 1, 5000, 70_000_000, 1 << 40])
DATA = st.binary(max_size=40) | st.sampled_from([b"x" * 300_000, b"\0" * 5000, b"a\n" * 500, b"\xff\xfe"])
ENTRY = st.one_of(
    st.tuples(st.just("file"), PATHS, DATA),
    st.tuples(st.just("file"), PATHS, DATA),
    st.tuples(st.just("folder"), PATHS, st.none()),
    st.tuples(st.just("link"), PATHS, TARGETS),
    st.tuples(st.just("link"), PATHS, TARGETS),
    st.tuples(st.just("hard_link"), PATHS, PATHS | st.sampled_from([b"../outside/kept"])),
    st.tuples(st.sampled_from(["fifo", "socket", "remove"]), PATHS, st.none()),
    st.tuples(st.just("sparse"), PATHS, SIZES),
    st.tuples(st.just("mode"), PATHS, MODES),
    st.tuples(st.just("chain"), st.sampled_from([b"d", b"e", b"d" * 255]), st.sampled_from([3, 62, 64, 66, 200])),
)
TREES = st.lists(ENTRY, min_size=1, max_size=12)


def _file(path: bytes, data: bytes) -> None:
    if not os.path.lexists(path):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(opened, data)
        os.close(opened)


def _sparse(path: bytes, size: int) -> None:
    _file(path, b"x")
    if stat.S_ISREG(os.lstat(path).st_mode) and os.lstat(path).st_nlink == 1:
        os.truncate(path, size)


def _socket(path: bytes, _: None) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def _mode(path: bytes, mode: int) -> None:
    info = os.lstat(path)
    if stat.S_ISDIR(info.st_mode) or (info.st_nlink == 1 and not stat.S_ISLNK(info.st_mode)):
        os.chmod(path, mode)  # noqa: PTH101 - names are bytes


def _remove(path: bytes, _: None) -> None:
    remove_tree(Path(os.fsdecode(path)))


MAKERS: dict[str, Callable[[bytes, Any], object]] = {
    "file": _file,
    "folder": lambda path, _: os.makedirs(path, exist_ok=True),  # noqa: PTH103 - names are bytes
    "link": lambda path, target: os.symlink(target, path),  # noqa: PTH211 - names are bytes
    "hard_link": lambda path, target: os.link(target, path, follow_symlinks=False),
    "fifo": lambda path, _: os.mkfifo(path),
    "socket": _socket,
    "sparse": _sparse,
    "mode": _mode,
    "remove": _remove,
    "chain": lambda name, levels: chain(Path(), levels, os.fsdecode(name)),
}


def grow(root: Path, entries: list[tuple[str, bytes, object]]) -> None:
    """Make what can be made of them; no path leads through a link, so everything lies below `root`."""
    with chdir(root):
        for kind, path, more in entries:
            above = b"/".join(path.split(b"/")[:-1])
            with suppress(OSError):
                if above:
                    os.makedirs(above, exist_ok=True)  # noqa: PTH103 - names are bytes
                if above and not os.path.realpath(above).startswith(os.fsencode(root) + b"/"):
                    continue
                MAKERS[kind](path, more)


def outside_of(folder: Path) -> dict[str, tuple[object, ...]]:
    """What lies beside the trees."""
    found = [folder, *sorted((folder / "outside").rglob("*")), folder / "outside"]
    seen = {}
    for path in found:
        info = path.lstat()
        content = path.read_bytes() if path.is_file() else sorted(one.name for one in path.iterdir())
        seen[str(path)] = (content, info.st_mode, info.st_uid)
    return seen


def workspace(folder: Path, name: str) -> WorkspaceFiles:
    (folder / name).mkdir()
    return WorkspaceFiles(name, folder / name, "/workspace", OldTexts(folder / f"{name}-texts"), FileOwner(), 1 << 30)


def walk_through(folder: Path, first: list[tuple[str, bytes, object]], then: list[tuple[str, bytes, object]]) -> None:
    """Scan, grow, diff and pack, apply, download; whatever refuses is a typed error."""
    source, target = workspace(folder, "source"), workspace(folder, "target")
    (folder / "outside").mkdir()
    (folder / "outside/kept").write_text("kept")
    (folder / "outside/closed").mkdir(mode=0o700)
    grow(source.root, first)
    grow(target.root, then)
    for name in ("source-texts", "target-texts"):
        (folder / name).mkdir(exist_ok=True)
    before = outside_of(folder)
    base = source.snapshot()
    grow(source.root, then)
    stepped, now = source.step(base, busy=False)
    differing = source.diff(base)
    assert {change.path for change in stepped.changes} >= {change.path for change in differing.changes}
    for archive in (stepped.archive, differing.archive):
        with suppress(SandboxError):
            target.apply(archive, ())
    for path in [*list(now.entries)[:3], "../outside/kept", "/etc/passwd", "a", "b/c", "a/../../outside/kept"]:
        for ask in (lambda one: source.read(one, 100), source.is_folder, source.download):
            with suppress(SandboxError):
                ask(path)
    with suppress(SandboxError):
        source.write("a/b", b"written", 0o600)
    target.snapshot()
    assert outside_of(folder) == before


@fuzz(25, first=TREES, then=TREES)
def test_any_tree_is_read_packed_applied_and_removed_and_nothing_outside_changes(
    first: list[tuple[str, bytes, object]], then: list[tuple[str, bytes, object]]
):
    folder = Path(tempfile.mkdtemp(prefix="synthbench-test-"))
    try:
        walk_through(folder, first, then)
    finally:
        gone = remove_tree(folder)
    assert gone
    assert not os.path.lexists(folder)
