"""Every built-in task: the solution earns 1, nothing earns 0, each wrong solution earns 0."""

import importlib.util
import time
from collections import Counter
from pathlib import Path

import pytest

from synthbench.tasks import TaskPackage, library_tasks, load_library_task

_spec = importlib.util.spec_from_file_location("twosides", Path(__file__).with_name("twosides.py"))
assert _spec
assert _spec.loader
twosides = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(twosides)


@pytest.fixture(params=sorted(library_tasks()))
def package(request: pytest.FixtureRequest) -> TaskPackage:
    return load_library_task(request.param)


def test_the_library_is_a_mix():
    packages = [load_library_task(name) for name in library_tasks()]
    assert Counter(package.difficulty for package in packages) == {"easy": 2, "medium": 2, "hard": 1, "expert": 1}
    assert len({package.category for package in packages}) >= 4


async def test_the_solution_earns_everything_quickly(package: TaskPackage):
    began = time.monotonic()
    grade, operations = await twosides.verify_changes(package, package.solution_changes())
    assert grade.reward == 1.0, [(test.name, test.message) for test in grade.tests if test.status != "passed"]
    assert {test.name for test in grade.tests} == {*package.own.fail_to_pass, *package.own.pass_to_pass}
    assert operations <= 18, operations
    assert time.monotonic() - began < 20


async def test_the_untouched_workspace_fails_what_it_must_and_passes_the_rest(package: TaskPackage):
    grade, _ = await twosides.verify_changes(package, {})
    status = {test.name: test.status for test in grade.tests}
    assert grade.reward == 0.0
    assert [name for name in package.own.fail_to_pass if status[name] == "passed"] == []
    assert [name for name in package.own.pass_to_pass if status[name] != "passed"] == []


async def test_wrong_solutions_fail(package: TaskPackage):
    wrong = package.wrong_solutions()
    assert len(wrong) >= 2
    for name, changes in wrong.items():
        grade, _ = await twosides.verify_changes(package, changes)
        assert grade.reward == 0.0, name


async def test_a_wrong_solution_passes_the_visible_tests(package: TaskPackage, tmp_path: Path):
    """Else it would be no trap: an agent that only looks at what it sees would be warned."""
    convinced: list[bool] = []
    for name, changes in package.wrong_solutions().items():
        folder = tmp_path / name
        twosides.put(folder, package.workspace_files())
        twosides.put(folder, changes)
        done = await twosides.FolderCode(folder).run(["sh", "-c", package.own.visible_check], b"", 30, ".")
        convinced.append(done.exit_code == 0)
    assert any(convinced)


def test_hard_tasks_have_several_files_and_causes():
    for package in map(load_library_task, library_tasks()):
        if package.difficulty in ("hard", "expert"):
            assert len([name for name in package.workspace_files() if name.endswith(".py")]) >= 6
            assert len(package.solution_changes()) >= 2
