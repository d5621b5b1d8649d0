"""Grades a test report: reward, parts, tests. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthbench.contracts.verification import TestResult, TestStatus
from synthbench.tasks.verify.server import CtrfReport


@dataclass(frozen=True)
class Grade:
    """Reward 0 or 1, its parts, and the tests one by one, missing ones among them."""

    reward: float
    parts: dict[str, float]
    tests: list[TestResult]


def grade(report: CtrfReport, fail_to_pass: Sequence[str], pass_to_pass: Sequence[str]) -> Grade:
    """Reward 1.0 only if every expected test passed; missing, skipped and doubled ones count as failed.

    Source: the rules of SWE-bench for FAIL_TO_PASS and PASS_TO_PASS, without its leniency towards missing tests.
    """
    found: dict[str, TestResult] = {}
    for test in report.tests:
        status = TestStatus(test.status) if test.status in ("passed", "failed", "skipped") else TestStatus.FAILED
        if test.name in found:
            status = TestStatus.FAILED
        required = test.name in fail_to_pass or test.name in pass_to_pass
        found[test.name] = TestResult(
            name=test.name, status=status, required=required, seconds=test.duration / 1000, message=test.message
        )
    expected = [*fail_to_pass, *pass_to_pass]
    results = [found.pop(name, TestResult(name=name, status=TestStatus.MISSING)) for name in expected]
    passed = {result.name for result in results if result.status is TestStatus.PASSED}
    reward = 1.0 if expected and len(passed) == len(expected) else 0.0
    parts = {"fail_to_pass": _share(fail_to_pass, passed), "pass_to_pass": _share(pass_to_pass, passed)}
    return Grade(reward, parts, [*results, *found.values()])


def _share(names: Sequence[str], passed: set[str]) -> float:
    return sum(name in passed for name in names) / len(names) if names else 1.0
