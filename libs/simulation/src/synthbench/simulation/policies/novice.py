"""`sim/novice`: guesses a path, edits what is not there, tries a wrong solution, and mostly recovers."""

from collections.abc import Callable

from synthbench.simulation.attempt import PolicyTurn, SimulatedAttempt, in_order
from synthbench.tasks import Changes

_RECOVERS = {"easy": 1.0, "medium": 1.0, "hard": 0.5, "expert": 0.25}


def novice(attempt: SimulatedAttempt) -> Callable[[int], PolicyTurn]:
    """Err, then recover: always on easy and medium tasks, on hard and expert ones by the seed."""
    solution = attempt.package.solution_changes()
    known = attempt.package.wrong_solutions()
    wrong: Changes = known[min(known)] if known else {}
    recovers = attempt.chance.random() < _RECOVERS.get(attempt.package.difficulty, 1.0) or not wrong
    first = next((path for path in sorted(solution) if path in attempt.files), next(iter(attempt.files), "README.md"))
    turns = [
        PolicyTurn("I think it is in src/main.py.", [("read_file", {"path": "src/main.py"})]),
        attempt.bash("It is not. What is there?", "ls -R . | head -50"),
        PolicyTurn(f"Then {first}.", [("read_file", {"path": first})]),
        PolicyTurn(
            "I fix it from memory.",
            [("edit_file", {"path": first, "old_text": "# TODO fix this properly\n", "new_text": "# fixed\n"})],
        ),
        *attempt.edits(attempt.files, wrong),
        *attempt.check(),
    ]
    if recovers:
        # What stands in the workspace after the wrong try, and what has to be undone of it.
        now = {**attempt.files, **{path: data.decode() for path, data in wrong.items() if data is not None}}
        undo: dict[str, bytes | None] = {
            path: attempt.files[path].encode() if path in attempt.files else None for path in wrong
        }
        turns.append(
            PolicyTurn("The instruction asks for more than that. Once more.", [("read_file", {"path": first})])
        )
        turns += attempt.edits(now, {**undo, **solution})
        turns += attempt.check()
    turns.append(attempt.submit("I changed it and the tests pass."))
    return in_order(turns)
