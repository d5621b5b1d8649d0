"""Why a verification was not passed, for the author of the task. Pure."""

from synthbench.contracts.verification import TestResult, TestStatus, VerificationResult

_SHOWN = 3
_CHARACTERS = 200
_NOT_IMPORTED = "unittest.loader._FailedTest."
"""Prefix of the name that unittest gives to a test module which it cannot import."""


def reason_of(verification: VerificationResult | None) -> str:
    """Say which tests cannot be imported, are missing or failed, and with what; empty where all passed."""
    if verification is None:
        return "nothing was verified"
    tests = verification.tests
    broken = {test.name.removeprefix(_NOT_IMPORTED): test for test in tests if test.name.startswith(_NOT_IMPORTED)}
    reasons = [f"tests/{name}.py cannot be imported: {_last_line(test)}" for name, test in broken.items()]
    wanted = [test for test in tests if test.required and test.name.partition(".")[0] not in broken]
    found = {test.name.partition(".")[0] for test in tests if test.status is not TestStatus.MISSING}
    for test in wanted:
        module = test.name.partition(".")[0]
        if test.status is TestStatus.MISSING and module in found:
            reasons.append(f"{test.name} does not exist in tests/{module}.py")
        elif test.status is TestStatus.MISSING:
            reasons.append(f"{test.name} did not run: tests/{module}.py holds no unittest.TestCase that ran")
        elif test.status is not TestStatus.PASSED:
            reasons.append(
                f"{test.name} {test.status}: {_last_line(test)}" if test.message else f"{test.name} {test.status}"
            )
    reasons += [f"the tests could not be set up: {_last_line(test)}" for test in tests if test.name == "setup"]
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    return "; ".join(reasons[:_SHOWN]) + more


def _last_line(test: TestResult) -> str:
    lines = [line.strip() for line in test.message.splitlines() if line.strip()]
    return lines[-1][:_CHARACTERS] if lines else "no reason given"
