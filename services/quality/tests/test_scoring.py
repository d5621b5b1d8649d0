"""Checks, aggregate and verdict."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from synthbench.contracts.events import Verdict
from synthbench.contracts.records import ArtifactRef, Outcome, Rollout, TaskInfo
from synthbench.contracts.steps import Action, ChangedPath, Observation, State, Step, ToolCall
from synthbench.contracts.trajectory import Imported, Trajectory
from synthbench.contracts.verification import TestResult, TestStatus, VerificationResult
from synthbench.quality.adapters.installed_checks import load_checks
from synthbench.quality.domain.check import Check, CheckInput, CheckResult, CheckRun, CheckStatus
from synthbench.quality.domain.checks import Completeness, Correctness, Validity
from synthbench.quality.domain.policy import QualityPolicy, aggregate, decide

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DIGEST = "sha256:" + "0" * 64


def step(
    index: int, *, exit_code: int | None = None, changed: bool = False, answered: bool = True, tool: str = "bash"
) -> Step:
    call = ToolCall(id=f"c{index}", name=tool)
    seen = [Observation(tool_call_id=call.id, exit_code=exit_code)] if answered else []
    state = State(changed=[ChangedPath(path="a", kind="modified")] if changed else [])
    return Step(
        index=index, started_at=NOW, finished_at=NOW, action=Action(tool_calls=[call]), observations=seen, state=state
    ).sealed()


def verified(*statuses: TestStatus) -> VerificationResult:
    tests = [TestResult(name=f"t{number}", status=status) for number, status in enumerate(statuses)]
    share = sum(status is TestStatus.PASSED for status in statuses) / len(statuses)
    return VerificationResult(
        reward=float(share == 1), reward_parts={"fail_to_pass": share, "pass_to_pass": 1.0}, tests=tests
    )


GOOD, BAD = verified(TestStatus.PASSED, TestStatus.PASSED), verified(TestStatus.PASSED, TestStatus.FAILED)


def trajectory(**changes: Any) -> Trajectory:
    task = TaskInfo(name="t", digest=DIGEST)
    rollout = Rollout(
        rollout_id=uuid4(), submission_id=uuid4(), campaign="c", task=task, scaffold="native", pool="bubblewrap"
    )
    given: dict[str, Any] = {
        "trajectory_id": uuid4(), "rollout": rollout, "attempt": 1, "outcome": Outcome.SOLVED, "verification": GOOD,
        "steps": [step(0, changed=True), step(1, exit_code=0)], "diff": ArtifactRef(uri="artifact://x", digest=DIGEST),
    }  # fmt: skip
    return Trajectory(**(given | changes))


def test_the_installed_checks_are_found():
    assert [check.name for check in load_checks()] == ["completeness", "correctness", "validity"]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({}, ""),
        ({"steps": []}, "no step"),
        ({"steps": [step(0), step(2)]}, "step 1 is missing"),
        ({"steps": [step(0).model_copy(update={"reward": 1.0})]}, "altered"),
        ({"steps": [step(0, answered=False), step(1)]}, "step 0: no answer"),
        ({"steps": [step(0), step(1, answered=False)]}, ""),  # it handed in with that call
        ({"steps": [step(0), step(1, answered=False)], "outcome": Outcome.TIME_LIMIT}, "step 1: no answer"),
        ({"outcome": Outcome.INFRA_ERROR}, "not scored"),
        ({"incomplete": "steps are gone"}, "incomplete"),
    ],
)
def test_validity(changes: dict, finding: str):
    score = Validity().run(CheckInput(trajectory(**changes), GOOD))
    assert score.score == (0.0 if finding else 1.0)
    assert finding in score.finding


def test_correctness_needs_both_verdicts():
    def score(first: VerificationResult | None, second: VerificationResult | None) -> CheckResult:
        return Correctness().run(CheckInput(trajectory(verification=first), second))

    assert score(GOOD, GOOD).score == 1.0
    assert score(BAD, BAD).score == 0.49
    assert score(GOOD, BAD).score == 0.49
    assert score(GOOD, BAD).finding.startswith("flaky: t1 was passed, then failed")
    assert score(GOOD, None).finding.startswith("unconfirmed")
    assert score(GOOD, VerificationResult(error="no sandbox")).score == 0.49
    assert score(None, GOOD).score == 0.0


def test_a_score_beyond_its_range_is_refused():
    for score in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="from 0 to 1"):
            CheckResult(score)


def test_completeness_is_a_share_of_four():
    def score(**changes) -> float:
        return Completeness().run(CheckInput(trajectory(**changes), GOOD)).score

    assert score() == 1.0
    assert score(diff=None) == 0.75
    assert score(steps=[step(0, exit_code=0), step(1, changed=True, tool="edit_file")]) == 0.75
    assert score(steps=[step(0, changed=True, tool="edit_file"), step(1, tool="terminal")]) == 1.0
    assert score(outcome=Outcome.STEP_LIMIT, diff=None) == 0.5


def test_completeness_of_an_import_is_a_share_of_three_where_no_step_says_what_it_changed():
    imported = Imported(format="mini-swe-agent", digest=DIGEST)

    def scored(**changes) -> CheckResult:
        given = {"imported": imported, "diff": None, "patch": "diff --git a/x b/x\n", "steps": [step(0)], **changes}
        return Completeness().run(CheckInput(trajectory(**given), None))

    assert (scored().score, scored().finding) == (1.0, "")
    assert scored(outcome=Outcome.STEP_LIMIT).score == pytest.approx(2 / 3)
    assert "the patch is empty" in scored(patch="\n").finding
    assert scored(steps=[step(0, changed=True, tool="edit_file")]).score == 0.75


def test_the_aggregate_is_a_gated_geometric_mean():
    def scores(validity: float, correctness: float, completeness: float) -> list[CheckRun]:
        values: list[tuple[Check, float]] = [
            (Validity(), validity), (Correctness(), correctness), (Completeness(), completeness)
        ]  # fmt: skip
        return [CheckRun(check, CheckResult(value)) for check, value in values]

    assert aggregate(scores(1, 1, 1)) == 1.0
    assert aggregate(scores(0, 1, 1)) == 0.0
    assert aggregate(scores(1, 0.5, 1)) == pytest.approx(0.5 ** (0.5 / 0.7))
    assert decide(QualityPolicy(), scores(1, 1, 1), forgeable=False).verdict is Verdict.ACCEPT
    assert decide(QualityPolicy(), scores(1, 1, 1), forgeable=True).verdict is Verdict.REVIEW
    assert decide(QualityPolicy(), scores(1, 1, 0.1), forgeable=False).verdict is Verdict.REJECT
    assert decide(QualityPolicy(), scores(1, 0.49, 1), forgeable=False).verdict is Verdict.REJECT
    flaky = [CheckRun(Correctness(), CheckResult(0.49, "flaky: t", CheckStatus.UNCERTAIN))]
    assert decide(QualityPolicy(), flaky, forgeable=False).verdict is Verdict.REVIEW


@pytest.mark.parametrize(("reward", "score", "verdict"), [(1.0, 1.0, Verdict.REVIEW), (0.5, 0.49, Verdict.REJECT)])
def test_what_ran_where_the_agent_worked_is_not_confirmed_and_goes_to_people(
    reward: float, score: float, verdict: Verdict
):
    once = VerificationResult(reward=reward, forgeable=True, in_place=True)
    result = Correctness().run(CheckInput(trajectory(verification=once), None))
    assert (result.score, result.finding[:13]) == (score, "verified once")
    assert decide(QualityPolicy(), [CheckRun(Correctness(), result)], forgeable=True).verdict is verdict
