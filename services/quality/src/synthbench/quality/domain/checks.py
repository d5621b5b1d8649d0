"""The built-in checks. Pure.

Source of the scheme: the rules that SWE-Gym, SWE-smith, OpenHands and Toucan publish; see docs/quality.md.
"""

from synthbench.contracts.records import Outcome
from synthbench.contracts.steps import Step, step_digest
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import TestStatus, VerificationResult
from synthbench.quality.domain.check import CheckInput, CheckResult, CheckStatus, Gate, Weight

_UNSOLVED_CAP = 0.49
_SHELLS = ("bash", "terminal", "execute_bash", "shell")
"""Tools of agents that run commands, and do not all say how these ended."""


class Validity:
    """Is it a trajectory at all: whole, in order, unaltered, every call answered but the one that hands it in?"""

    name = "validity"
    version = "2"
    effect = Gate()

    def run(self, given: CheckInput) -> CheckResult:
        """Score 1 for a valid trajectory, else 0."""
        problem = _problem(given.trajectory)
        return CheckResult(0.0 if problem else 1.0, problem)


def _problem(trajectory: Trajectory) -> str:
    if not trajectory.outcome.gradable:
        return f"an outcome of {trajectory.outcome} is not scored"
    if trajectory.incomplete:
        return f"incomplete: {trajectory.incomplete}"
    if not trajectory.steps:
        return "there is no step"
    handed_in = len(trajectory.steps) - 1 if trajectory.outcome in (Outcome.SOLVED, Outcome.UNSOLVED) else None
    problems = (
        _step_problem(position, step, ends=position == handed_in) for position, step in enumerate(trajectory.steps)
    )
    return next((problem for problem in problems if problem), "")


def _step_problem(position: int, step: Step, *, ends: bool) -> str:
    if step.index != position:
        return f"step {position} is missing"
    if step.digest != step_digest(step):
        return f"step {position} was altered"
    unanswered = [] if ends else _unanswered(step)  # many agents end with their last call, and answer it no more
    return f"step {position}: no answer to call {unanswered[0]}" if unanswered else ""


def _unanswered(step: Step) -> list[str]:
    answered = {observation.tool_call_id for observation in step.observations}
    return [call.id for call in step.action.tool_calls if call.id not in answered]


class Correctness:
    """Do the tests pass, twice, in sandboxes that the agent never touched?"""

    name = "correctness"
    version = "1"
    effect = Weight(0.5, required=True)

    def run(self, given: CheckInput) -> CheckResult:
        """1 if every required test passed both times; else at most 0.49, by the shares that passed."""
        first, second = given.trajectory.verification, given.second
        if first is None:
            return CheckResult(0.0, "it was never verified")
        if first.in_place:
            return CheckResult(_worth(first), "verified once, where the agent worked, by tests that it could forge")
        if second is None or second.error is not None:
            finding = "unconfirmed: the second verification gave no verdict"
            return CheckResult(min(_worth(first), _UNSOLVED_CAP), finding, CheckStatus.UNCERTAIN)
        if changed := disagreement(first, second):
            score = min(_worth(first), _worth(second), _UNSOLVED_CAP)
            return CheckResult(score, f"flaky: {changed}", CheckStatus.UNCERTAIN)
        failed = [test.name for test in first.tests if test.required and test.status is not TestStatus.PASSED]
        finding = f"{len(failed)} required tests failed: {', '.join(failed[:3])}" if failed else ""
        return CheckResult(_worth(first), finding)


def _worth(result: VerificationResult) -> float:
    if result.reward == 1.0:
        return 1.0
    if result.forgeable:  # one number of the package's own
        return min(_UNSOLVED_CAP, max(0.0, result.reward))
    parts = result.reward_parts
    return min(_UNSOLVED_CAP, parts.get("fail_to_pass", 0.0) * parts.get("pass_to_pass", 0.0))


def disagreement(first: VerificationResult, second: VerificationResult) -> str:
    """Say what two verifications disagree on; empty if nothing."""
    before = {test.name: test.status for test in first.tests if test.required}
    after = {test.name: test.status for test in second.tests if test.required}
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        name = changed[0]
        return f"{name} was {before.get(name, 'absent')}, then {after.get(name, 'absent')}"
    return "" if first.reward == second.reward else f"the reward was {first.reward}, then {second.reward}"


class Completeness:
    """Did it end by itself, change something, and run something after its last change?"""

    name = "completeness"
    version = "3"
    effect = Weight(0.2)

    def run(self, given: CheckInput) -> CheckResult:
        """The mean of four yes-or-no questions, or of three where nothing tells which steps changed files."""
        trajectory = given.trajectory
        changed_something = trajectory.diff is not None or bool(trajectory.patch.strip())
        answers = {
            "it did not finish by itself": trajectory.outcome in (Outcome.SOLVED, Outcome.UNSOLVED),
            "the patch is empty": changed_something,
            "it is cut short": trajectory.incomplete is None,
        }
        edits = [step.index for step in trajectory.steps if step.state.changed]
        if edits or not (trajectory.imported and changed_something):  # imports do not say which step changed what
            last_edit = max(edits, default=-1)
            answers[f"nothing was run after the last edit in step {last_edit}"] = any(
                step.index >= last_edit and _ran_something(step) for step in trajectory.steps
            )
        missing = [what for what, yes in answers.items() if not yes]
        return CheckResult(1 - len(missing) / len(answers), "; ".join(missing))


def _ran_something(step: Step) -> bool:
    shells = {call.id for call in step.action.tool_calls if call.name in _SHELLS}
    return any(seen.exit_code is not None or seen.tool_call_id in shells for seen in step.observations)
