"""Simulated models, played against the files of every library task."""

import pytest

from synthbench.simulation.attempt import PolicyTurn, SimulatedAttempt, replacements
from synthbench.simulation.policies import POLICIES
from synthbench.tasks import TaskPackage, library_tasks, load_library_task

TOOLS = {"bash", "read_file", "write_file", "edit_file", "search", "submit"}
every_task = pytest.mark.parametrize(
    "package", [load_library_task(name) for name in library_tasks()], ids=lambda p: p.id
)


def turns(policy: str, package: TaskPackage, seed: int = 0) -> list[PolicyTurn]:
    play = POLICIES[policy](SimulatedAttempt(package, seed, TOOLS))
    found = [play(0)]
    while found[-1].calls and found[-1].calls[0][0] != "submit" and len(found) < 100:
        found.append(play(len(found)))
    return found


def left_behind(package: TaskPackage, played: list[PolicyTurn]) -> dict[str, str]:
    files = {name: data.decode() for name, data in package.workspace_files().items()}
    for turn in played:
        for name, given in turn.calls:
            if name == "write_file":
                files[given["path"]] = given["content"]
            elif name == "edit_file" and files[given["path"]].count(given["old_text"]) == 1:
                files[given["path"]] = files[given["path"]].replace(given["old_text"], given["new_text"])
    return files


@every_task
def test_the_expert_works_like_one_and_reaches_the_solution(package: TaskPackage):
    played = turns("expert", package)
    assert len(played) >= 5
    assert len({name for turn in played for name, _ in turn.calls}) >= 3
    assert played[-1].calls[0][0] == "submit"
    solution = {path: data.decode() for path, data in package.solution_changes().items() if data is not None}
    files = left_behind(package, played)
    assert {path: files[path] for path in solution} == solution


@every_task
def test_the_novice_errs_and_ends_right_or_wrong(package: TaskPackage):
    played = turns("novice", package)
    first_edit = next(given for turn in played for name, given in turn.calls if name == "edit_file")
    assert not any(first_edit["old_text"] in data.decode() for data in package.workspace_files().values())
    files = left_behind(package, played)
    solved = all(files[path] == (data or b"").decode() for path, data in package.solution_changes().items())
    if package.difficulty in ("easy", "medium"):
        assert solved
    wrong = [path for solution in package.wrong_solutions().values() for path in solution]
    assert solved or any(files[path].encode() != package.workspace_files()[path] for path in wrong)


def test_a_novice_may_fail_the_expert_task_by_the_seed():
    package = load_library_task("query-engine-006")
    solution = package.solution_changes()
    ends = [left_behind(package, turns("novice", package, seed)) for seed in range(12)]
    solved = [all(files[path] == (data or b"").decode() for path, data in solution.items()) for files in ends]
    assert True in solved
    assert False in solved


def test_the_same_seed_is_the_same_play():
    package = load_library_task("simple-task-001")
    assert turns("expert", package, 3) == turns("expert", package, 3)
    assert any(turns("expert", package, 3) != turns("expert", package, seed) for seed in range(10))


def test_the_others_do_what_they_say():
    package = load_library_task("simple-task-001")
    assert len({str(turn) for turn in turns("looper", package)}) == 1
    assert turns("quitter", package)[-1].calls == ()
    assert turns("cheater", package)[-1].calls[0][0] == "submit"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a\nb\nc\n", "a\nB\nc\n"),
        ("x\nx\nx\ny\n", "x\nx\nx\nz\n"),
        ("a\n", "a\nb\n"),
        ("a\nb", "b"),
        ("same\n" * 9, "same\n" * 8),
    ],
)
def test_replacements_lead_from_one_text_to_the_other(old: str, new: str):
    current = old
    for before, after in replacements(old, new) or [(old, new)]:
        assert current.count(before) == 1
        current = current.replace(before, after)
    assert current == new
