"""Unified diffs, applied exactly: each hunk at its own line, each of its lines as it says. Pure.

Source: the format that `diff -u` and git write, without git's extended headers.
"""

import re
from collections.abc import Iterator, Mapping

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NOWHERE = "/dev/null"
_NO_NEWLINE = "\\ No newline at end of file"


class PatchRefused(ValueError):
    """A text is no unified diff, or does not fit the files; the message says where, in one line."""


def apply_patch(patch: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files after a patch; those that it does not name are the same.

    Args:
        patch: a unified diff whose paths begin with `a/` and `b/`; `/dev/null` stands for no file.
        files: UTF-8 texts, by path.

    Raises:
        PatchRefused: a file is missing or has other lines than a hunk says, or the patch cannot be read.
    """
    result = dict(files)
    lines = patch.split("\n")
    position = 0
    while position < len(lines):
        if not lines[position]:
            position += 1
            continue
        old, new = _path(lines, position, "--- ", "a/"), _path(lines, position + 1, "+++ ", "b/")
        position += 2
        begins = position
        while position < len(lines) and lines[position] and not lines[position].startswith("--- "):
            position += _hunk_length(lines, position)
        before = result.pop(old, None) if old else b""
        if before is None:
            raise PatchRefused(f"there is no file {old}")
        after = _patched(before.decode(), lines[begins:position], old or new or "")
        if new:
            result[new] = after.encode()
        elif after:
            raise PatchRefused(f"{old} is deleted, but not all of its lines are")
    return result


def _path(lines: list[str], position: int, mark: str, prefix: str) -> str | None:
    """The path in a line such as `--- a/path`; None for /dev/null."""
    line = lines[position] if position < len(lines) else ""
    path = line.removeprefix(mark)
    if path == _NOWHERE and path != line:
        return None
    if not path.startswith(prefix) or path == line:
        raise PatchRefused(f"line {position + 1} is not `{mark}{prefix}…`: {line[:80]!r}")
    return path.removeprefix(prefix)


def _hunk_length(lines: list[str], position: int) -> int:
    """Return the number of lines of a hunk, its `@@` line and `\\ No newline …` lines among them."""
    found = _HUNK.match(lines[position])
    if found is None:
        raise PatchRefused(f"line {position + 1} is no hunk: {lines[position][:80]!r}")
    old, new = int(found[2] or 1), int(found[4] or 1)
    count = 1
    while old > 0 or new > 0 or (position + count < len(lines) and lines[position + count] == _NO_NEWLINE):
        line = lines[position + count] if position + count < len(lines) else ""
        if line != _NO_NEWLINE:
            if line[:1] not in (" ", "-", "+"):
                raise PatchRefused(f"line {position + count + 1} is none of a hunk: {line[:80]!r}")
            old -= line[0] in " -"
            new -= line[0] in " +"
        count += 1
    return count


def _patched(text: str, hunks: list[str], path: str) -> str:
    """A text after the hunks of its file."""
    before = _lines(text)
    after: list[str] = []
    position = 0
    for line, is_last in _with_ends(hunks):
        if found := _HUNK.match(line):
            start = int(found[1]) - (found[2] != "0")
            if start < position:
                raise PatchRefused(f"{path}: hunks overlap at line {start + 1}")
            after += before[position:start]
            position = start
            continue
        content = line[1:] + ("" if is_last else "\n")
        if line[0] in " -":
            if before[position : position + 1] != [content]:
                raise PatchRefused(f"{path}: line {position + 1} is not {line[1:][:80]!r}")
            position += 1
        if line[0] in " +":
            after.append(content)
    return "".join(after + before[position:])


def _with_ends(hunks: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it ends a file without a line break."""
    for line, following in zip(hunks, [*hunks[1:], ""], strict=True):
        if line != _NO_NEWLINE:
            yield line, following == _NO_NEWLINE


def _lines(text: str) -> list[str]:
    """Lines with their line breaks; only `\\n` is one."""
    parts = text.split("\n")
    return [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
