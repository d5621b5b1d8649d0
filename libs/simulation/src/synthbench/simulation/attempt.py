"""An attempt as a simulated model sees it, its turns, and edits that lead from one text to another. Pure."""

import difflib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthbench.tasks import Changes, TaskPackage

PolicyCall = tuple[str, dict[str, Any]]
"""Name and arguments of a native tool."""


@dataclass(frozen=True)
class PolicyTurn:
    """One turn of the assistant: its text, and calls of native tools."""

    text: str
    calls: Sequence[PolicyCall] = ()


@dataclass(frozen=True)
class SimulatedAttempt:
    """One attempt as a policy sees it: the task, the seed, and the tools that the agent offers."""

    package: TaskPackage
    seed: int
    tools: set[str]
    files: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        texts = {name: data.decode("utf-8", errors="replace") for name, data in self.package.workspace_files().items()}
        object.__setattr__(self, "files", texts)

    @property
    def chance(self) -> random.Random:
        """A random generator that gives the same numbers for the same task and seed."""
        return random.Random(f"{self.package.id}/{self.seed}")  # noqa: S311 - a simulation

    def one_of(self, *sentences: str) -> str:
        """Choose one of several sentences, by the seed."""
        return self.chance.choice(sentences)

    def bash(self, text: str, command: str) -> PolicyTurn:
        """Make a turn that runs a shell command."""
        return PolicyTurn(text, [("bash", {"command": command})])

    def check(self) -> list[PolicyTurn]:
        """Make a turn that runs the visible check, if the task has one."""
        command = self.package.own.visible_check
        text = self.one_of("Now I run the checks.", "Let me see whether the tests agree.", "Running the visible tests.")
        return [self.bash(text, command)] if command else []

    def submit(self, summary: str) -> PolicyTurn:
        """Make a turn that submits the work."""
        return PolicyTurn(
            self.one_of("The work is done.", "That settles it; I hand it in."), [("submit", {"summary": summary})]
        )

    def edits(self, before: Mapping[str, str], changes: Changes) -> list[PolicyTurn]:
        """Make turns that bring files from `before` to `changes`, piece by piece, as people do it."""
        turns: list[PolicyTurn] = []
        for path, data in sorted(changes.items()):
            if data is None:
                turns.append(self.bash(f"{path} is not needed any more.", f"rm -r '{path}'"))
                continue
            new = data.decode("utf-8", errors="replace")
            old = before.get(path)
            pieces = replacements(old, new) if old else None
            if pieces is None or "edit_file" not in self.tools:
                turns.append(PolicyTurn(f"I write {path}.", [("write_file", {"path": path, "content": new})]))
                continue
            for number, (old_text, new_text) in enumerate(pieces):
                text = f"Changing {path}." if number == 0 else f"One more change in {path}."
                turns.append(
                    PolicyTurn(text, [("edit_file", {"path": path, "old_text": old_text, "new_text": new_text})])
                )
        return turns


def replacements(old: str, new: str) -> list[tuple[str, str]] | None:
    """Return (old piece, new piece) pairs that turn `old` into `new`, applied in order.

    Each old piece is there exactly once when its turn comes. None where the whole file has to be written instead.
    """
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    pieces: list[tuple[str, str]] = []
    current = old
    for group in matcher.get_grouped_opcodes(1):
        first, last = group[0], group[-1]
        piece = _unique_piece(current, before, after, (first[1], last[2]), (first[3], last[4]))
        if piece is None:
            return None
        pieces.append(piece)
        current = current.replace(piece[0], piece[1], 1)
    return pieces if current == new else None


def _unique_piece(
    current: str, before: Sequence[str], after: Sequence[str], old: tuple[int, int], new: tuple[int, int]
) -> tuple[str, str] | None:
    """Widen a changed range upwards until its text is unique."""
    start, new_start = old[0], new[0]
    while True:
        text = "".join(before[start : old[1]])
        if text and current.count(text) == 1:
            return text, "".join(after[new_start : new[1]])
        if start == 0 or new_start == 0 or before[start - 1] != after[new_start - 1]:
            return None
        start, new_start = start - 1, new_start - 1


def in_order(turns: Sequence[PolicyTurn]) -> Callable[[int], PolicyTurn]:
    """Return a function from a turn's number to the turn; the last one is repeated after the end."""
    return lambda number: turns[min(number, len(turns) - 1)]
