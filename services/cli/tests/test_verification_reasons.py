"""Why a reference solution earned nothing, as the author of the task is told."""

import pytest

from synthbench.cli.verification_reasons import reason_of
from synthbench.contracts.verification import TestResult, TestStatus, VerificationResult

IMPORT = "ImportError: Failed to import test module: test_leap\nModuleNotFoundError: No module named 'pytest'\n"


def result(name: str, status: str, message: str = "", *, required: bool = True) -> TestResult:
    return TestResult(name=name, status=TestStatus(status), message=message, required=required)


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (
            [
                result("test_leap.Leap.test_a", "missing"),
                result("unittest.loader._FailedTest.test_leap", "failed", IMPORT, required=False),
            ],
            "tests/test_leap.py cannot be imported: ModuleNotFoundError: No module named 'pytest'",
        ),
        (
            [result("test_leap.test_a", "missing")],
            "test_leap.test_a did not run: tests/test_leap.py holds no unittest.TestCase that ran",
        ),
        (
            [result("test_leap.Leap.test_b", "missing"), result("test_leap.Leap.test_a", "passed")],
            "test_leap.Leap.test_b does not exist in tests/test_leap.py",
        ),
        (
            [result("t.T.test_a", "failed", "Traceback\nAssertionError: 1 != 2")],
            "t.T.test_a failed: AssertionError: 1 != 2",
        ),
        ([result("t.T.test_a", "passed"), result("t.T.other", "failed", required=False)], ""),
    ],
)
def test_the_reason_names_module_test_and_cause(tests: list[TestResult], said: str):
    assert reason_of(VerificationResult(tests=tests)) == said


def test_of_many_reasons_the_first_are_shown_and_the_rest_counted():
    tests = [result(f"t.T.test_{number}", "skipped") for number in range(5)]
    assert reason_of(VerificationResult(tests=tests)).endswith("t.T.test_2 skipped; and 2 more")
