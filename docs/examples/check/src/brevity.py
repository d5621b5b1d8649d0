"""The check `brevity`: a trajectory with more steps than expected is worth less, and one with many is rejected."""

from synthbench.quality.domain.check import CheckInput, CheckResult, Gate

EXPECTED_STEPS = 3


class Brevity:
    """Follows `synthbench.quality.domain.check.Check`."""

    name = "brevity"
    version = "1"
    effect = Gate()  # multiplies the aggregate; `Weight(0.5)` would weigh as much in it as correctness does

    def run(self, given: CheckInput) -> CheckResult:
        """Score 1 up to the expected number of steps, then their share: twice as many are worth 0.5."""
        steps = max(1, len(given.trajectory.steps))
        score = min(1.0, EXPECTED_STEPS / steps)
        return CheckResult(score, "" if score == 1.0 else f"{steps} steps, and {EXPECTED_STEPS} would do")
