"""Cheats win against a verifier that trusts the agent's sandbox, and earn nothing from ours."""

import asyncio
import importlib.util
import platform
from pathlib import Path
from typing import Any

import pytest

from synthbench.executor.verification import CodeSandbox, verify
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import SandboxSpec
from synthbench.tasks import TaskPackage, load_library_task
from synthbench.tasks.cheats import CHEATS, Cheat

_spec = importlib.util.spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
assert _spec
assert _spec.loader
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)

PACKAGE = load_library_task("simple-task-001")
SOLVING = "\n".join(
    f"cat > {name} <<'END_OF_FILE'\n{(data or b'').decode()}END_OF_FILE"
    for name, data in PACKAGE.solution_changes().items()
)
by_cheat = pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.id)


async def played(engine: SandboxEngine, package: TaskPackage, *scripts: str) -> bytes:
    """What an agent that runs these scripts leaves behind, taken as the executor takes it."""
    sandbox = await engine.create(SandboxSpec(owner="agent"))
    try:
        await sandbox.upload(package.workspace_archive())
        before = await sandbox.snapshot()
        for script in scripts:
            done = await sandbox.run(["bash", "-c", script], timeout=20)
            assert done.exit_code == 0, done.stderr_text
        await sandbox.kill()
        return (await sandbox.diff(before)).archive
    finally:
        await sandbox.close()


def test_there_are_ten_and_more():
    assert len({cheat.id for cheat in CHEATS}) == len(CHEATS) >= 10


def test_the_naive_verifier_is_no_pushover(tmp_path: Path):
    """It fails honest nothing, so a win of a cheat is the cheat's."""
    assert naive.NaiveVerifier(PACKAGE, tmp_path / "nothing").reward() == 0.0


def test_the_naive_verifier_believes_an_honest_solution(tmp_path: Path):
    verifier = naive.NaiveVerifier(PACKAGE, tmp_path / "honest")
    for name, data in PACKAGE.solution_changes().items():
        (verifier.workspace / name).write_bytes(data or b"")
    assert verifier.reward() == 1.0


@by_cheat
def test_it_wins_against_a_naive_verifier(cheat: Cheat, tmp_path: Path):
    if cheat.id == "ld-preload" and platform.machine() != "x86_64":
        pytest.skip("the library that this cheat preloads is built for x86-64")
    verifier = naive.NaiveVerifier(PACKAGE, tmp_path / "naive")
    verifier.play(cheat.command())
    try:
        assert any(verifier.reward() == 1.0 for _ in range(10))  # on a busy machine a process left behind is slow
    finally:
        naive.end_leftovers(str(tmp_path))


@by_cheat
async def test_it_earns_nothing(cheat: Cheat, engine: SandboxEngine, tests_engine: SandboxEngine | None):
    archive = await played(engine, PACKAGE, cheat.command())
    result = await verify(engine, PACKAGE, [archive], owner="cheat", tests_engine=tests_engine)
    assert result.error is None
    assert result.reward == 0.0
    assert not result.forgeable
    assert {test.name for test in result.tests} >= set(PACKAGE.own.fail_to_pass)


async def test_all_of_them_together_earn_nothing(engine: SandboxEngine, tests_engine: SandboxEngine | None):
    archive = await played(engine, PACKAGE, *(cheat.command() for cheat in CHEATS))
    result = await verify(engine, PACKAGE, [archive], owner="cheats", tests_engine=tests_engine)
    assert (result.error, result.reward) == (None, 0.0)


async def test_an_honest_solution_earns_it_all_and_a_broken_one_nothing(engine: SandboxEngine):
    good = await verify(engine, PACKAGE, [await played(engine, PACKAGE, SOLVING)], owner="good")
    assert good.reward == 1.0, good
    assert good.engines == {"code": engine.name, "tests": engine.name}
    assert good.reward_parts == {"fail_to_pass": 1.0, "pass_to_pass": 1.0}
    breaking = "sed -i 's/ROUND_HALF_EVEN/ROUND_HALF_UP/' billing/money.py"
    broken = await verify(engine, PACKAGE, [await played(engine, PACKAGE, SOLVING, breaking)], owner="broken")
    assert (broken.error, broken.reward) == (None, 0.0)
    assert 0 < broken.reward_parts["fail_to_pass"] < 1


async def test_protected_paths_are_left_out_and_named(engine: SandboxEngine):
    archive = await played(engine, PACKAGE, "echo 'x = 1' > tests/test_billing.py; echo y > tests/new.py")
    result = await verify(engine, PACKAGE, [archive], owner="tests")
    assert set(result.left_out) == {"tests/new.py", "tests/test_billing.py"}


async def test_code_that_hangs_fails_and_is_no_failure_of_ours(engine: SandboxEngine):
    hanging = "printf 'import time\\ntime.sleep(1000)\\n' > billing/__init__.py"
    # Each operation may take 20 s, the whole verification 4: nobody waits for ever.
    result = await verify(engine, with_timeout(4.0), [await played(engine, PACKAGE, hanging)], owner="hanging")
    assert (result.error, result.reward) == (None, 0.0)


def with_timeout(seconds: float) -> TaskPackage:
    verifier = PACKAGE.manifest.verifier.model_copy(update={"timeout_sec": seconds})
    return TaskPackage(PACKAGE.manifest.model_copy(update={"verifier": verifier}), PACKAGE.instruction, PACKAGE.files)


@pytest.mark.parametrize("engine", ["bubblewrap"], indirect=True)
@pytest.mark.parametrize(("delayed", "reward"), [(4, 1.0), (1000, 0.0)], ids=["once", "again"])
async def test_many_slow_calls_are_given_twice_the_time_before_they_count_against_the_code(
    engine: SandboxEngine, monkeypatch: pytest.MonkeyPatch, delayed: int, reward: float
):
    """A machine with too much to do delays every call a little, of good solutions as well."""
    left, result_of = [delayed], CodeSandbox._result

    async def late(self: CodeSandbox, *arguments: Any) -> RunResult:
        left[0] -= 1
        if left[0] >= 0:
            await asyncio.sleep(0.9)
        return await result_of(self, *arguments)

    monkeypatch.setattr(CodeSandbox, "_result", late)
    archive = await played(engine, PACKAGE, SOLVING)
    result = await verify(engine, with_timeout(3.0), [archive], owner="slow")
    assert (result.error, result.reward) == (None, reward)


async def test_hidden_tests_need_no_container(engine: SandboxEngine, tests_engine: SandboxEngine | None):
    archive = await played(engine, PACKAGE, SOLVING)
    result = await verify(engine, PACKAGE, [archive], owner="beside", tests_engine=tests_engine)
    assert (result.error, result.reward) == (None, 1.0)
    assert result.engines == {"code": engine.name, "tests": "bubblewrap"}


async def test_no_change_at_all_earns_nothing(engine: SandboxEngine):
    result = await verify(engine, PACKAGE, [], owner="nop")
    assert (result.error, result.reward) == (None, 0.0)
    assert result.reward_parts["pass_to_pass"] == 1.0
