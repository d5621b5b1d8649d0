"""`sim/novice`: guesses a path, edits what is not there, tries a wrong solution, and mostly recovers."""

from collections.abc import Callable

from synthbench.llm_gateway.sims.player import Player, Turn, in_order
from synthbench.tasks import Changes

_RECOVERS = {"easy": 1.0, "medium": 1.0, "hard": 0.5, "expert": 0.25}


def novice(player: Player) -> Callable[[int], Turn]:
    """Err, then recover: always on easy and medium tasks, on hard and expert ones by the seed."""
    solution = player.package.solution_changes()
    known = player.package.wrong_solutions()
    wrong: Changes = known[min(known)] if known else {}
    recovers = player.chance.random() < _RECOVERS.get(player.package.difficulty, 1.0) or not wrong
    first = next((path for path in sorted(solution) if path in player.files), next(iter(player.files), "README.md"))
    turns = [
        Turn("I think it is in src/main.py.", [("read_file", {"path": "src/main.py"})]),
        player.bash("It is not. What is there?", "ls -R . | head -50"),
        Turn(f"Then {first}.", [("read_file", {"path": first})]),
        Turn(
            "I fix it from memory.",
            [("edit_file", {"path": first, "old_text": "# TODO fix this properly\n", "new_text": "# fixed\n"})],
        ),
        *player.edits(player.files, wrong),
        *player.check(),
    ]
    if recovers:
        # What stands in the workspace after the wrong try, and what has to be undone of it.
        now = {**player.files, **{path: data.decode() for path, data in wrong.items() if data is not None}}
        undo: dict[str, bytes | None] = {
            path: player.files[path].encode() if path in player.files else None for path in wrong
        }
        turns.append(Turn("The instruction asks for more than that. Once more.", [("read_file", {"path": first})]))
        turns += player.edits(now, {**undo, **solution})
        turns += player.check()
    turns.append(player.submit("I changed it and the tests pass."))
    return in_order(turns)
