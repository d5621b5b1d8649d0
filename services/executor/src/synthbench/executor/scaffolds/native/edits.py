"""Edits of one attempt: where each was made, how to take it back, and what to say of one that does not fit. Pure."""

import difflib
import posixpath
import re
from dataclasses import dataclass

from synthbench.contracts.loose import parse_object
from synthbench.contracts.steps import Observation, ToolCall
from synthbench.executor.scaffolds.native.answers import ToolFailed

_PLACE = re.compile(r"at line (\d+), column (\d+)$")
_NAMED_LINES = 10
_CLOSE_LINES = 3
_COMPARED_LINES, _COMPARED_CHARACTERS = 3000, 200


@dataclass(frozen=True)
class Edit:
    """One replacement, by the place where it was made; both counts begin at 1."""

    line: int
    column: int
    old_text: str
    new_text: str

    @property
    def place(self) -> str:
        """As the agent is told."""
        return f"at line {self.line}, column {self.column}"

    def undone(self, text: str) -> str | None:
        """The text before the edit; None where this text cannot be what it left."""
        lines = text.splitlines(keepends=True)
        if self.line > len(lines) + 1:
            return None
        offset = sum(map(len, lines[: self.line - 1])) + self.column - 1
        if not text.startswith(self.new_text, offset):
            return None
        before = text[:offset] + self.old_text + text[offset + len(self.new_text) :]
        return before if before.count(self.old_text) == 1 and before.index(self.old_text) == offset else None


def make_edit(path: str, text: str, old_text: str, new_text: str) -> tuple[str, Edit]:
    """Replace a piece of text that is there exactly once.

    Returns:
        The new text, and the edit.

    Raises:
        ToolFailed: it is not there, or several times; with what helps to mend it.
    """
    places = _places(text, old_text)
    if len(places) != 1:
        raise ToolFailed(_misfit(path, text, old_text, places), "no_match")
    before = text[: places[0]].splitlines(keepends=True)
    line = len(before) if before and not _ends_line(before[-1]) else len(before) + 1
    column = places[0] - sum(map(len, before[: line - 1])) + 1
    return text.replace(old_text, new_text), Edit(line, column, old_text, new_text)


class History:
    """The edits that can be taken back, by file. All that it knows is in the calls and what was answered to them.

    Args:
        workdir: paths are relative to it.
    """

    def __init__(self, workdir: str) -> None:
        self._workdir = workdir
        self._edits: dict[str, list[Edit]] = {}

    def take(self, call: ToolCall, seen: Observation) -> None:
        """Take in one call that was answered."""
        if seen.error is not None:
            return
        given = parse_object(call.arguments)
        edits = self._edits.setdefault(self._key(str(given.get("path", ""))), [])
        place = _PLACE.search(seen.content)
        if call.name == "edit_file" and place:
            edits.append(Edit(int(place[1]), int(place[2]), str(given["old_text"]), str(given["new_text"])))
        elif call.name == "write_file":
            edits.clear()
        elif call.name == "undo_edit":
            edits.pop()

    def last(self, path: str) -> Edit:
        """The edit of a file that would be taken back next.

        Raises:
            ToolFailed: there is none.
        """
        edits = self._edits.get(self._key(path))
        if not edits:
            raise ToolFailed(f"there is no edit of {path} to take back", "no_edit")
        return edits[-1]

    def _key(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self._workdir, path))


def _places(text: str, piece: str) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(piece), text)]


def _ends_line(line: str) -> bool:
    return len((line + "x").splitlines()) > 1


def _line_of(text: str, offset: int) -> int:
    return len((text[:offset] + "x").splitlines())


def _misfit(path: str, text: str, old_text: str, places: list[int]) -> str:
    if places:
        lines = ", ".join(str(_line_of(text, place)) for place in places[:_NAMED_LINES])
        more = ", …" if len(places) > _NAMED_LINES else ""
        return (
            f"old_text is {len(places)} times in {path}, at lines {lines}{more}; add lines around it until it is unique"
        )
    said = f"old_text is not in {path}; read the file again and copy the text exactly"
    close = _closest(text, old_text)
    return f"{said}. The closest lines are:\n{close}" if close else said


def _closest(text: str, old_text: str) -> str:
    """The lines that are most like the longest line of a text, each with its number; empty where none is."""
    wanted = max(old_text.splitlines(), key=lambda line: len(line.strip()), default="")[:_COMPARED_CHARACTERS]
    lines = [line[:_COMPARED_CHARACTERS] for line in text.splitlines()[:_COMPARED_LINES]]
    alike = difflib.get_close_matches(wanted, dict.fromkeys(lines), n=_CLOSE_LINES) if wanted.strip() else []
    found = [f"{number:>5}\t{line}" for number, line in enumerate(lines, 1) if line in alike]
    return "\n".join(found[:_CLOSE_LINES])
