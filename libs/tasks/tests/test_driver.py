"""The driver by itself, as a task author runs it: its comparisons, and the end of its own processor time."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthbench.tasks.verify import DRIVER, driver_source

TEST = """
import unittest
from synthbench_verify import workspace

class Answers(unittest.TestCase):
    def test_it(self):
        {code}
"""

APP = """
def value(x):
    return x

def pairs(n):
    return [[i, {}] for i in range(n)]
"""
ENDLESS = "while True: pass"
SWALLOWED = "try:\n            while True: pass\n        except Exception: pass"


def reward_of(folder: Path, code: str, *options: str) -> str:
    tests, work = folder / "tests", folder / "work"
    tests.mkdir()
    work.mkdir()
    (work / "app.py").write_text(APP)
    (tests / "test_it.py").write_text(TEST.format(code=code))
    driver = folder / DRIVER
    driver.write_bytes(driver_source())
    reward = folder / "reward.txt"
    command = [sys.executable, "-I", str(driver), "--tests", str(tests), "--workspace", str(work)]
    subprocess.run([*command, "--reward", str(reward), *options], check=True, timeout=60)
    return reward.read_text().strip()


@pytest.mark.parametrize(
    "code",
    [
        "self.assertSequenceEqual([1, 2], (1, 2))",
        "self.assertEqual(workspace.call('app:value', [1, {'a': 'b'}]), [1, {'a': 'b'}])",
        "self.assertListEqual([1], [1]); self.assertTupleEqual((1,), (1,)); self.assertDictEqual({1: 2}, {1: 2})",
        "self.assertSetEqual({1}, frozenset({1})); self.assertMultiLineEqual('a\\\\n', 'a\\\\n')",
        "self.assertCountEqual(workspace.call('app:value', [2, 1]), [1, 2])",
    ],
)
def test_equal_values_are_equal_as_ever(tmp_path: Path, code: str):
    assert reward_of(tmp_path, code) == "1"


@pytest.mark.parametrize(
    "code",
    [
        "self.assertSequenceEqual([1, 2], (1, 2), seq_type=list)",
        "self.assertListEqual([1], (1,))",
        "self.assertDictEqual({1: 2}, {1: 3})",
        "self.assertSetEqual({1}, {2})",
        "self.assertMultiLineEqual('a', 'b')",
        "self.assertEqual([1], [2])",
    ],
)
def test_other_values_are_not(tmp_path: Path, code: str):
    assert reward_of(tmp_path, code) == "0"


def test_comparing_that_takes_too_long_is_a_failed_test(tmp_path: Path):
    began = time.process_time()
    code = "self.assertCountEqual(workspace.call('app:pairs', 20_000), workspace.call('app:pairs', 20_000)[::-1])"
    assert reward_of(tmp_path, code, "--cpu-seconds", "2") == "0"
    assert time.process_time() - began < 20


@pytest.mark.parametrize("code", [ENDLESS, SWALLOWED])
def test_tests_without_end_end_with_their_processor_time(tmp_path: Path, code: str):
    began = time.monotonic()
    reward_of(tmp_path, code, "--cpu-seconds", "1")
    assert time.monotonic() - began < 30
