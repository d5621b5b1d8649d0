"""A git-style patch of texts, in bounded time whatever the texts are."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_PAIRS = 16_000_000  # old lines x new lines up to which difflib searches: well below a second
_CONTEXT = 3
_NO_NEWLINE = "\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a change: git's mode ("100644", "100755", "120000"), and the content where it is known."""

    mode: str
    content: bytes | None


def is_binary(data: bytes) -> bool:
    """Git's rule (a NUL near the start), and anything that is not UTF-8."""
    if b"\0" in data[:8000]:
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def file_patch(path: str, old: Side | None, new: Side | None) -> str:
    """The patch of one file; `old` None is an added file, `new` None a deleted one.

    A change of type is a deletion and an addition, as in git.
    """
    if old and new and old.mode[:2] != new.mode[:2]:
        return file_patch(path, old, None) + file_patch(path, None, new)
    return "".join(_file_lines(path, old, new))


def _file_lines(path: str, old: Side | None, new: Side | None) -> Iterator[str]:
    before, after = _quoted(f"a/{path}"), _quoted(f"b/{path}")
    yield f"diff --git {before} {after}\n"
    if old is None and new is not None:
        yield f"new file mode {new.mode}\n"
    elif new is None and old is not None:
        yield f"deleted file mode {old.mode}\n"
    elif old and new and old.mode != new.mode:
        yield f"old mode {old.mode}\nnew mode {new.mode}\n"
    a, b = (old.content if old else b""), (new.content if new else b"")
    if a == b and a is not None:
        return
    if a is None or b is None or is_binary(a) or is_binary(b):
        yield f"Binary files {before if old else '/dev/null'} and {after if new else '/dev/null'} differ\n"
        return
    yield f"--- {before if old else '/dev/null'}\n+++ {after if new else '/dev/null'}\n"
    yield from _hunks(_lines(a), _lines(b))


def _hunks(a: list[str], b: list[str]) -> Iterator[str]:
    if len(a) * len(b) <= _PAIRS:
        # skip difflib's own two header lines: ours stand already
        lines: Iterable[str] = list(difflib.unified_diff(a, b, n=_CONTEXT))[2:]
    else:
        lines = _one_hunk(a, b)
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}"


def _one_hunk(a: list[str], b: list[str]) -> Iterator[str]:
    """One hunk from the first line that differs to the last: longer than need be, and still a valid patch."""
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    end = 0
    while end < min(len(a), len(b)) - start and a[-1 - end] == b[-1 - end]:
        end += 1
    lead, trail = min(start, _CONTEXT), min(end, _CONTEXT)
    first, olds, news = start - lead, a[start : len(a) - end], b[start : len(b) - end]
    size = lead + trail
    yield f"@@ -{first + 1},{len(olds) + size} +{first + 1},{len(news) + size} @@\n"
    yield from (f" {line}" for line in a[first:start])
    yield from (f"-{line}" for line in olds)
    yield from (f"+{line}" for line in news)
    yield from (f" {line}" for line in a[len(a) - end : len(a) - end + trail])


def _lines(data: bytes) -> list[str]:
    # only \n ends a line: str.splitlines would also split at form feeds and the like, and corrupt the patch
    lines = data.decode().split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _quoted(path: str) -> str:
    """C quoting as git does it, for names that would break a header line."""
    if not any(ord(letter) < 32 or letter in '"\\\x7f' for letter in path):
        return path
    return '"' + "".join(_escaped(letter) for letter in path) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return f"\\{ord(letter):03o}" if ord(letter) < 32 or letter == "\x7f" else letter
