"""`sim/expert`: looks around, reads, edits, tests, submits. At least five steps with at least three tools."""

import re
from collections.abc import Callable

from synthbench.simulation.attempt import PolicyTurn, SimulatedAttempt, in_order

_DEFINITION = re.compile(r"^\s*(?:def|class)\s+(\w+)", re.MULTILINE)


def expert(attempt: SimulatedAttempt) -> Callable[[int], PolicyTurn]:
    """Solve the task with the package's own solution, by small edits."""
    changes = attempt.package.solution_changes()
    turns = [*_look(attempt), *_read(attempt, sorted(changes))]
    if changes:
        turns += attempt.edits(attempt.files, changes)
    elif script := attempt.package.solve_script():
        turns.append(attempt.bash("I do it in one go.", script))
    turns += attempt.check()
    turns.append(attempt.submit(f"Changed {', '.join(sorted(changes)) or 'what the task asks for'}; the checks pass."))
    return in_order(turns)


def _look(attempt: SimulatedAttempt) -> list[PolicyTurn]:
    text = attempt.one_of(
        "First I look at what is here.", "Let me get an overview of the workspace.", "I start with the files."
    )
    return [attempt.bash(text, "find . -type f -not -path './.git/*' | sort | head -100")]


def _read(attempt: SimulatedAttempt, paths: list[str]) -> list[PolicyTurn]:
    """Find where things are defined, then read what will change."""
    turns: list[PolicyTurn] = []
    existing = [path for path in paths if path in attempt.files]
    names = [name for path in existing for name in _DEFINITION.findall(attempt.files[path])]
    if names and "search" in attempt.tools:
        name = attempt.chance.choice(names)
        turns.append(PolicyTurn(f"Where is {name} used?", [("search", {"pattern": rf"\b{name}\b"})]))
    for path in existing:
        if "read_file" in attempt.tools:
            turns.append(PolicyTurn(f"I read {path}.", [("read_file", {"path": path})]))
        else:
            turns.append(attempt.bash(f"I read {path}.", f"cat '{path}'"))
    return turns
