"""`sim/expert`: looks around, reads, edits, tests, submits. At least five steps with at least three tools."""

import re
from collections.abc import Callable

from synthbench.llm_gateway.sims.player import Player, Turn, in_order

_DEFINITION = re.compile(r"^\s*(?:def|class)\s+(\w+)", re.MULTILINE)


def expert(player: Player) -> Callable[[int], Turn]:
    """Solve the task with the package's own solution, by small edits."""
    changes = player.package.solution_changes()
    turns = [*_look(player), *_read(player, sorted(changes))]
    if changes:
        turns += player.edits(player.files, changes)
    elif script := player.package.solve_script():
        turns.append(player.bash("I do it in one go.", script))
    turns += player.check()
    turns.append(player.submit(f"Changed {', '.join(sorted(changes)) or 'what the task asks for'}; the checks pass."))
    return in_order(turns)


def _look(player: Player) -> list[Turn]:
    said = player.say(
        "First I look at what is here.", "Let me get an overview of the workspace.", "I start with the files."
    )
    return [player.bash(said, "find . -type f -not -path './.git/*' | sort | head -100")]


def _read(player: Player, paths: list[str]) -> list[Turn]:
    """Find where things are defined, then read what will change."""
    turns: list[Turn] = []
    existing = [path for path in paths if path in player.files]
    names = [name for path in existing for name in _DEFINITION.findall(player.files[path])]
    if names and "search" in player.tools:
        name = player.chance.choice(names)
        turns.append(Turn(f"Where is {name} used?", [("search", {"pattern": rf"\b{name}\b"})]))
    for path in existing:
        if "read_file" in player.tools:
            turns.append(Turn(f"I read {path}.", [("read_file", {"path": path})]))
        else:
            turns.append(player.bash(f"I read {path}.", f"cat '{path}'"))
    return turns
