"""The search tool: what ripgrep finds, with the find and grep that every sandbox has.

Hidden files, binary files and what .gitignore and .ignore name are left out; links are not followed. A file that is
named is always searched.
"""

import asyncio
import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import partial
from time import monotonic

from pathspec import GitIgnoreSpec

from synthbench.executor.domain.clock import Clock
from synthbench.executor.scaffolds.native.answers import ToolAnswer, ToolFailed
from synthbench.executor.scaffolds.native.arguments import Search
from synthbench.executor.scaffolds.native.lines import lines_of
from synthbench.sandbox.errors import PathRefused
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.result import RunResult

_LINES = 400
_LINE_BYTES = 400
_SECONDS = 20.0
_NOTHING, _CLOSED_PIPE = 1, 141
_RULES = (".gitignore", ".ignore")
"""The ignore files; the later wins, as in ripgrep."""
_RULES_BYTES = 256 * 1024
_RULES_MOST = 2000
_COSTLY = re.compile(r"(\*+[^*/]+){4}|(\*\*/[^*]*){5}|.{500}")
"""More wildcards in one name or path than anybody writes."""
_BOM = re.compile("(?<=[:-]1[:-])\ufeff")
"""Before the first line of a file, which grep takes it for a part of."""
_ANCHORS = re.compile(r"\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]])*\]|\$", re.DOTALL)
"""Dollars that end a line; escapes and bracket expressions are passed over whole."""
_FIND = r"""
if [ -d "$1" ]; then
  find "$1" -mindepth 1 \( -name .gitignore -o -name .ignore \) -type f -print0 -o -name '.?*' -prune -o -type f -print0
elif [ -f "$1" ]; then printf '%s\0' "$1"
else echo "there is no file or folder $1" >&2; exit 2
fi
"""
_GREP = rf"""
kind=-E; if echo x | grep -qP x 2>/dev/null; then kind=-P; fi
grep $kind -e "$1" /dev/null; [ $? -le 1 ] || exit 2
xargs -0 grep $kind -nHI $2 -e "$1" -- | cut -b1-{_LINE_BYTES} | head -n {_LINES + 1}
exit 0
"""


class Searcher:
    """Searches one sandbox."""

    def __init__(self, sandbox: Sandbox, clock: Clock) -> None:
        self._sandbox = sandbox
        self._clock = clock

    async def search(self, wanted: Search) -> ToolAnswer:
        """Return the lines that match, at most 400."""
        files = await self._files(wanted)
        if not files:
            return ToolAnswer("no match: there is no file to search")
        options = [f"-C{wanted.context}"] if wanted.context else []
        options += ["-i"] if wanted.ignore_case else []
        script = ["bash", "-c", _GREP, "search", _any_line_end(wanted.pattern), " ".join(options)]
        stdin = "\0".join(files).encode("utf-8", "surrogateescape")
        result = await self._run(script, stdin)
        lines = [_BOM.sub("", line.removeprefix("./"), 1) for line in lines_of(result.stdout_text)]
        if not lines and result.stderr:
            raise ToolFailed(f"the search failed: {result.stderr_text.strip()[:300]}")
        if len(lines) > _LINES:
            lines[_LINES:] = [f"[only the first {_LINES} lines; narrow the search]"]
        return ToolAnswer("\n".join(lines) or "no match")

    async def _files(self, wanted: Search) -> list[str]:
        path = _relative(wanted.path, self._sandbox.workdir)
        result = await self._run(["bash", "-c", _FIND, "search", path])
        if result.stdout_cut is not None:
            raise ToolFailed("there are too many files; search a smaller folder")
        found = sorted(name for name in result.stdout.decode("utf-8", "surrogateescape").split("\0") if name)
        if found == [path]:
            return found
        rules = await self._rules(path, found)
        chosen = _spec([wanted.glob.removeprefix("!")]) if wanted.glob else None
        choose = partial(_chosen, found, path, rules, chosen, inverted=wanted.glob.startswith("!"))
        return await asyncio.to_thread(choose)

    async def _rules(self, path: str, found: Sequence[str]) -> dict[str, GitIgnoreSpec]:
        """The ignore files of the folders above and below, by folder."""
        folders = {posixpath.dirname(name) for name in found if posixpath.basename(name) in _RULES}
        if path.startswith("."):
            folders |= set(_above(path))
        rules: dict[str, GitIgnoreSpec] = {}
        for folder in sorted(folders):
            lines = [line for name in _RULES for line in await self._lines(posixpath.join(folder, name))]
            if lines:
                rules[folder] = _spec(lines)
            if sum(map(len, rules.values())) > _RULES_MOST:
                raise ToolFailed(f"there are more than {_RULES_MOST} ignore rules; search a smaller folder")
        return rules

    async def _lines(self, path: str) -> list[str]:
        try:
            return lines_of((await self._sandbox.read(path, max_bytes=_RULES_BYTES)).decode("utf-8", "replace"))
        except PathRefused:
            return []

    async def _run(self, script: Sequence[str], stdin: bytes = b"") -> RunResult:
        result = await self._sandbox.run(script, stdin=stdin, timeout=min(_SECONDS, self._clock.remaining))
        if result.timed_out:
            raise ToolFailed("the search took too long; search a smaller folder", "timeout")
        if result.exit_code not in (0, _NOTHING, _CLOSED_PIPE):
            raise ToolFailed(f"the search failed: {result.stderr_text.strip()[:300]}")
        return result


def _any_line_end(pattern: str) -> str:
    """Return a pattern whose `$` stands before CRLF, too, which is no character of the line for any tool."""
    return _ANCHORS.sub(lambda match: "\r?$" if match[0] == "$" else match[0], pattern)


def _relative(path: str, workdir: str) -> str:
    """Return a path for find: from "." on where it is inside, so that no name looks like an option."""
    clean = posixpath.normpath(posixpath.join(workdir, path))
    inside = posixpath.relpath(clean, workdir)
    if inside.startswith(".."):
        return clean
    return inside if inside == "." else f"./{inside}"


def _above(path: str) -> list[str]:
    """Return a path and the folders above it, up to the workspace."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _spec(lines: Sequence[str]) -> GitIgnoreSpec:
    """Rules, without those whose wildcards could take for ever to be matched: backtracking grows with each."""
    return GitIgnoreSpec.from_lines(line for line in lines if not _COSTLY.search(line))


def _chosen(
    found: Sequence[str],
    root: str,
    rules: Mapping[str, GitIgnoreSpec],
    chosen: GitIgnoreSpec | None,
    *,
    inverted: bool,
) -> list[str]:
    """Return the files that are searched. Runs in a thread.

    Raises:
        ToolFailed: it takes too long.
    """
    end = monotonic() + _SECONDS
    names: list[str] = []
    for name in found:
        if monotonic() > end:
            raise ToolFailed("the search took too long; search a smaller folder", "timeout")
        if _wanted(name, root, rules, chosen, inverted=inverted):
            names.append(name)
    return names


def _wanted(
    name: str, root: str, rules: Mapping[str, GitIgnoreSpec], chosen: GitIgnoreSpec | None, *, inverted: bool
) -> bool:
    if re.match(r"\..", posixpath.basename(name)):
        return False
    inside = name.removeprefix(root).lstrip("/")
    if chosen is not None and chosen.match_file(inside) == inverted:
        return False
    for folder in reversed(_above(posixpath.dirname(name))):
        if folder in rules:
            verdict = rules[folder].check_file(name.removeprefix(folder).lstrip("/")).include
            if verdict is not None:
                return not verdict
    return True
