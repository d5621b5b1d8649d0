"""Reward parts of steps: real files, real checkpoints, the hidden tests in sandboxes of their own."""

import json
import tempfile
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from synthbench.chassis.errors import SettingsError
from synthbench.chassis.settings import load_settings
from synthbench.contracts.rewards import STEPWISE, Rewards, parse_weights, totals
from synthbench.contracts.steps import Action
from synthbench.contracts.verification import VerificationResult
from synthbench.executor import file_checks, shaping
from synthbench.executor.domain.shaping import FileFindings, evenly, file_parts
from synthbench.executor.recorder import AgentTurn, StepRecorder
from synthbench.executor.settings import ExecutorSettings
from synthbench.executor.shaping import RewardInputs, ShapingBounds, check_files, measure
from synthbench.executor.verification import verify
from synthbench.sandbox.engines import choose_engine
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec
from synthbench.tasks import TaskPackage, load_package

from .conftest import steps_of

ALL = parse_weights(",".join(f"{name}=1" for name in ["terminal", "partial", "efficiency", *STEPWISE]))
BEFORE = (
    "def add(a, b):\n    return a - b\n\n\ndef sub(a, b):\n    return a + b\n\n\ndef mul(a, b):\n    return a * b\n"
)
ADD = BEFORE.replace("a - b", "a + b", 1)
SUB = ADD.replace("return a + b\n\n\ndef mul", "return a - b\n\n\ndef mul")
_TOML = """schema_version = "1.4"
[task]
name = "t/calc"
[metadata]
category = "debugging"
difficulty = "easy"
[metadata.synthbench]
expected_steps = 3
fail_to_pass = ["test_calc.Calc.test_add", "test_calc.Calc.test_sub"]
pass_to_pass = ["test_calc.Calc.test_mul"]
"""
_TESTS = """import unittest
from synthbench_verify import workspace
class Calc(unittest.TestCase):
    def test_add(self): self.assertEqual(workspace.call("calc:add", 2, 3), 5)
    def test_sub(self): self.assertEqual(workspace.call("calc:sub", 2, 3), -1)
    def test_mul(self): self.assertEqual(workspace.call("calc:mul", 2, 3), 6)
"""


@pytest.fixture
def package(tmp_path: Path) -> TaskPackage:
    files = {
        "task.toml": _TOML, "instruction.md": "Mend it.\n", "tests/test_calc.py": _TESTS,
        "tests/test.sh": "#!/bin/sh\n",
        "environment/workspace/calc.py": BEFORE, "solution/solve.sh": "#!/bin/sh\ncp -R /solution/files/. .\n",
        "solution/files/calc.py": SUB,
    }  # fmt: skip
    for name, text in files.items():
        path = tmp_path / "task" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_package(tmp_path / "task")


@pytest.fixture
async def engine() -> AsyncGenerator[SandboxEngine]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        made = (await choose_engine(None, root=Path(folder, "boxes"))).engine
        yield made
        await made.aclose()


async def work(
    engine: SandboxEngine, package: TaskPackage, make_world, turns: Sequence[dict[str, str]]
) -> StepRecorder:
    """Steps that write these files; an empty text takes one away."""
    sandbox = await engine.create(SandboxSpec(owner="agent"))
    try:
        await sandbox.upload(package.workspace_archive())
        world = make_world()
        recorder = StepRecorder(
            world.recorder._announcer, sandbox, await sandbox.snapshot(), world.clock, checkpoints=True
        )
        for files in turns:
            for path, text in files.items():
                if text:
                    await sandbox.write(path, text.encode())
                else:
                    await sandbox.run(["rm", path], timeout=10)
            await recorder.record(AgentTurn(Action(), (), datetime.now(UTC)))
        assert len(steps_of(world)) == len(turns)
    finally:
        await sandbox.close()
    return recorder


async def judged(
    engine, package, artifacts, recorder: StepRecorder, *, states: int = 20, seconds: float = 60
) -> Rewards:
    runs = partial(verify, engine, package, owner="t")
    archives = [await artifacts.get(change.checkpoint.uri) for change in recorder.changes if change.checkpoint]
    result = await runs(archives)
    assert result.error is None
    evidence = RewardInputs(package, artifacts, recorder.changes, result, len(recorder.digests), runs)
    return await measure(evidence, ALL, ShapingBounds(states, seconds))


TURNS = [
    {"notes.txt": "I look.\n"},
    {"calc.py": ADD},
    {},
    {"calc.py": ADD.replace("a * b", "a ** b"), "extra.py": "import os\n"},
    {"calc.py": "def add(:\n"},
    {"calc.py": SUB, "extra.py": ""},
]


async def test_each_step_gets_what_it_changed(engine, package, artifacts, make_world):
    rewards = await judged(engine, package, artifacts, await work(engine, package, make_world, TURNS))
    assert rewards.missing == {}
    third = 1 / 3
    found = {step.index: step.parts for step in rewards.steps}
    assert found == {
        1: {"progress": third},
        3: {"regression": -third, "lint": -1.0},
        4: {"regression": -third, "parses": -1.0},
        5: {"progress": 1.0, "parses": 1.0, "lint": 1.0},
    }
    assert rewards.parts == {
        "terminal": 1.0, "partial": 1.0, "fail_to_pass": 1.0, "pass_to_pass": 1.0, "efficiency": 0.5,
    }  # fmt: skip
    assert totals(rewards)["progress"] + totals(rewards)["regression"] == pytest.approx(2 * third)
    assert rewards.scalar == pytest.approx(1 + 1 + 0.5 + 2 * third)


async def test_with_fewer_looks_what_lies_between_counts_with_the_next(engine, package, artifacts, make_world):
    recorder = await work(engine, package, make_world, TURNS)
    rewards = await judged(engine, package, artifacts, recorder, states=1)
    tests = {step.index: step.parts for step in rewards.steps if "progress" in step.parts or "regression" in step.parts}
    assert tests.keys() == {5}
    assert tests[5]["progress"] == pytest.approx(2 / 3)
    assert "after 1 of 5 changing steps" in rewards.missing["progress"]


async def test_out_of_time_the_last_state_counts_still(engine, package, artifacts, make_world):
    recorder = await work(engine, package, make_world, TURNS)
    rewards = await judged(engine, package, artifacts, recorder, seconds=1e-9)
    assert "progress" in rewards.missing
    assert rewards.parts["terminal"] == 1.0


async def test_a_lost_checkpoint_costs_the_steps_and_not_the_attempt(engine, package, artifacts, make_world):
    recorder = await work(engine, package, make_world, [{"calc.py": ADD}])
    (change,) = recorder.changes
    assert change.checkpoint
    await artifacts.delete(change.checkpoint.uri)
    result = VerificationResult(reward=0.0)
    evidence = RewardInputs(
        package, artifacts, recorder.changes, result, 1, partial(verify, engine, package, owner="t")
    )
    rewards = await measure(evidence, ALL, ShapingBounds(9, 9))
    assert rewards.steps == []
    assert {"progress", "regression", "parses", "lint", "partial"} <= rewards.missing.keys()
    assert rewards.scalar == 0.0


async def test_tests_of_a_foreign_kind_are_not_run_again(engine, package, artifacts, make_world):
    recorder = await work(engine, package, make_world, [{"calc.py": ADD}])
    result = VerificationResult(reward=0.4, forgeable=True)
    evidence = RewardInputs(
        package, artifacts, recorder.changes, result, 1, partial(verify, engine, package, owner="t")
    )
    rewards = await measure(evidence, ALL, ShapingBounds(9, 9))
    assert "foreign" in rewards.missing["progress"]
    assert "parses" not in rewards.missing
    assert rewards.scalar == 0.4


HOSTILE = {
    "deep.py": b"(" * 200_000,
    "unary.py": b"-" * 100_000 + b"1",
    "nul.py": b"a = 1\0\n",
    "latin.py": b"\xff\xfe",
    "deep.json": b"[" * 200_000,
    "number.json": b"1" * 100_000,
    "half.toml": b"a = [",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_files_are_broken_and_nothing_else(name: str):
    looks = await check_files([("fine.py", b"import os\n"), (name, HOSTILE[name]), ("fine.toml", b"a = 1\n")])
    assert looks == [FileFindings(findings=1), FileFindings(broken=True), FileFindings()]


async def test_what_takes_too_long_or_is_too_much_is_said(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(OSError, match="more than 32 MiB"):
        await check_files([("a.py", b"#" * (1 << 25)), ("b.py", b"#")])
    monkeypatch.setattr(shaping, "_LOOK_SECONDS", 0.001)
    with pytest.raises(OSError, match="in time"):
        await check_files([("a.py", b"import os")])
    monkeypatch.undo()
    monkeypatch.setattr(file_checks, "__file__", "/nowhere.py")
    with pytest.raises(OSError, match="ended with 2"):
        await check_files([("a.py", b"import os")])


async def test_a_file_that_is_too_big_costs_the_parts_of_files(engine, package, artifacts, make_world):
    recorder = await work(engine, package, make_world, [{"calc.py": SUB + "#" * 300_000}])
    rewards = await judged(engine, package, artifacts, recorder)
    assert "more than 256 KiB" in rewards.missing["lint"]
    assert totals(rewards)["progress"] == pytest.approx(2 / 3)


def test_looks_are_spread_evenly_with_the_last_among_them():
    assert evenly(3, 5) == [0, 1, 2]
    assert evenly(10, 1) == [9]
    assert evenly(10, 2) == [4, 9]
    for count in range(1, 40):
        for most in range(1, 12):
            found = evenly(count, most)
            assert found == sorted(set(found))
            assert len(found) == min(count, most)
            assert found[-1] == count - 1
    assert evenly(0, 3) == []


def test_a_file_that_went_takes_its_faults_along():
    before = {"a.py": FileFindings(broken=True), "b.py": FileFindings(findings=2)}
    after = {"a.py": FileFindings(), "b.py": FileFindings()}
    assert file_parts(before, after) == {"parses": 1.0, "lint": 2.0}


def test_weights_are_checked_when_the_executor_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SYNTHBENCH_REWARD_WEIGHTS", "terminal=1,luck=2")
    with pytest.raises(SettingsError, match="there is no reward part 'luck'"):
        load_settings(ExecutorSettings)
    monkeypatch.setenv("SYNTHBENCH_REWARD_WEIGHTS", "terminal=1,progress=0.5")
    assert json.dumps(load_settings(ExecutorSettings).reward_weights)
