"""Edits of one attempt: where each was made, how to take it back, and what to say of one that does not fit. Pure."""

import difflib
import posixpath
import re
from dataclasses import dataclass, replace

from synthbench.contracts.loose import parse_object
from synthbench.contracts.steps import Observation, ToolCall
from synthbench.executor.scaffolds.native.answers import ToolFailed
from synthbench.executor.scaffolds.native.lines import TextFile, lines_of

_PLACE = re.compile(r"at line (\d+), column (\d+)(?:; its line ends were ((?:CRLF|LF)(?: (?:CRLF|LF))*))?$")
_NAMED_LINES = 10
_CLOSE_LINES = 3
_COMPARED_LINES, _COMPARED_CHARACTERS = 3000, 200


@dataclass(frozen=True)
class Edit:
    """A replacement in a file, by the place where it was made; both counts begin at 1.

    Attributes:
        line: where it begins, in lines as every tool counts them.
        column: in characters.
        old_text: what was there, with any line ends.
        new_text: what is there now.
        crlf: of each line end in `old_text`, whether it was CRLF; None where they are such as the place has.
    """

    line: int
    column: int
    old_text: str
    new_text: str
    crlf: tuple[bool, ...] | None = None

    @property
    def place(self) -> str:
        """The place in the words that the agent is shown."""
        return f"at line {self.line}, column {self.column}"

    @property
    def told(self) -> str:
        """The place, and what else is needed to take the edit back from what the agent was told."""
        ends = " ".join("CRLF" if crlf else "LF" for crlf in self.crlf or ())
        return f"{self.place}; its line ends were {ends}" if ends else self.place

    def undone(self, file: TextFile) -> TextFile | None:
        """The file before the edit; None where this file cannot be what it left."""
        starts = [0, *(match.end() for match in re.finditer("\n", file.text))]
        if self.line > len(starts):
            return None
        offset = starts[self.line - 1] + self.column - 1
        old, new = file.shown(self.old_text), file.shown(self.new_text)
        if not file.text.startswith(new, offset):
            return None
        before = file.replaced(offset, offset + len(new), self.old_text, self.crlf)
        return before if before.text.count(old) == 1 and before.text.index(old) == offset else None


def make_edit(path: str, file: TextFile, old_text: str, new_text: str) -> tuple[TextFile, Edit]:
    """Replace a piece of a file that is there exactly once. Line ends of either text count as the file's own.

    Returns:
        The new file, and the edit.

    Raises:
        ToolFailed: it is not there, or several times; with what helps to mend it.
    """
    old = file.shown(old_text)
    places = _places(file.text, old)
    if len(places) != 1:
        raise ToolFailed(_misfit(path, file, old, places), "no_match")
    start, stop = places[0], places[0] + len(old)
    new = file.replaced(start, stop, new_text)
    edit = Edit(file.line_at(start), start - file.text.rfind("\n", 0, start), old_text, new_text)
    if edit.undone(new) != file:
        edit = replace(edit, crlf=file.ends_in(start, stop))
    return new, edit


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
            crlf = tuple(end == "CRLF" for end in place[3].split()) if place[3] else None
            edits.append(Edit(int(place[1]), int(place[2]), str(given["old_text"]), str(given["new_text"]), crlf))
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
    return [match.start() for match in re.finditer(re.escape(piece), text)] if piece else []


def _misfit(path: str, file: TextFile, old_text: str, places: list[int]) -> str:
    if places:
        lines = ", ".join(str(file.line_at(place)) for place in places[:_NAMED_LINES])
        more = ", …" if len(places) > _NAMED_LINES else ""
        return (
            f"old_text is {len(places)} times in {path}, at lines {lines}{more}; add lines around it until it is unique"
        )
    if old_text.endswith("\n") and file.text.endswith(old_text[:-1]):
        return f"old_text ends with a line end, and the last line of {path} has none; leave it out"
    misfit = f"old_text is not in {path}; read the file again and copy the text exactly"
    close = _closest(file.text, old_text)
    return f"{misfit}. The closest lines are:\n{close}" if close else misfit


def _closest(text: str, old_text: str) -> str:
    """The lines that are most like the longest line of a text, each with its number; empty where none is."""
    wanted = max(lines_of(old_text), key=lambda line: len(line.strip()), default="")[:_COMPARED_CHARACTERS]
    lines = [line[:_COMPARED_CHARACTERS] for line in lines_of(text)[:_COMPARED_LINES]]
    alike = difflib.get_close_matches(wanted, dict.fromkeys(lines), n=_CLOSE_LINES) if wanted.strip() else []
    found = [f"{number:>5}\t{line}" for number, line in enumerate(lines, 1) if line in alike]
    return "\n".join(found[:_CLOSE_LINES])
