"""How far a campaign is, and what came of it."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from synthbench.cli.rollout_tally import RolloutTally
from synthbench.cli.totals import result_totals
from synthbench.client.amounts import cost_text, duration
from synthbench.client.progress import Progress
from synthbench.client.runs import FailedRun, failure_lines, failures
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import (
    AttemptClosed,
    AttemptFinished,
    AttemptStarted,
    TaskAccepted,
    TaskRejected,
    TaskSubmitted,
    TrajectoryCurated,
)
from synthbench.contracts.model import Record
from synthbench.contracts.records import FieldError, Rollout, TaskInfo, Usage
from synthbench.contracts.trajectory import AttemptContext

TASK = TaskInfo(name="synth-bench/simple-task-001", digest="sha256:" + "0" * 64)
NOW = datetime.now(UTC)


class Events:
    """The events of one rollout."""

    def __init__(self, submission: UUID) -> None:
        given = {
            "rollout_id": uuid4(),
            "submission_id": submission,
            "campaign": "c",
            "task": TASK,
            "scaffold": "native",
        }
        self.rollout = Rollout.model_validate({**given, "scaffold": "native", "pool": "bubblewrap"})
        self.scope = {"submission_id": submission, "campaign": "c", "rollout_id": given["rollout_id"], "attempt": 1}

    def started(self) -> Envelope:
        values = {**self.scope, "rollout": self.rollout, "context": AttemptContext(), "started_at": NOW}
        return envelope(AttemptStarted.model_validate(values))

    def closed(self, outcome: str, *, counted: bool, usage: Usage | None = None, last: bool = True) -> Envelope:
        report = None
        if usage:
            values = {**self.scope, "context": AttemptContext(), "outcome": outcome, "usage": usage}
            report = AttemptFinished.model_validate({**values, "started_at": NOW, "finished_at": NOW})
        values = {**self.scope, "rollout": self.rollout, "outcome": outcome, "counted": counted, "last": last}
        return envelope(AttemptClosed.model_validate({**values, "report": report, "reason": "no sandbox"}))

    def curated(self) -> Envelope:
        values = {**self.scope, "trajectory_id": uuid4(), "status": "admitted", "verdict": "accept", "policy": "p"}
        return envelope(TrajectoryCurated.model_validate(values))


def envelope(body: Record) -> Envelope:
    return Envelope(id=uuid4(), time=NOW, source="test", body=body)


def test_the_line_has_counts_outcomes_cost_rate_and_time_left():
    submission = uuid4()
    tally = RolloutTally(4, {submission: 4})
    one, two, lost = Events(submission), Events(submission), Events(submission)
    for event in (one.started(), two.started(), one.closed("solved", counted=True, usage=Usage(cost_microusd=1500)),
                  one.curated(), lost.started(), lost.closed("infra_error", counted=False, last=False)):  # fmt: skip
        tally.apply(event)
    assert tally.line(60) == ("1 of 4 finished, 1 running, 1 solved, $0.0015, 1.0 a minute, about 3 min left")
    tally.apply(lost.closed("infra_error", counted=False))
    assert "2 of 4 finished, 1 running, 1 given up, 1 solved" in tally.line(60)


def test_outcomes_add_up_to_the_rollouts_that_the_line_calls_finished():
    """Nine ran and are closed, six of them are curated: the line says six of nothing but these."""
    submission = uuid4()
    tally = RolloutTally(10, {submission: 10})
    rollouts = [Events(submission) for _ in range(9)]
    for number, rollout in enumerate(rollouts):
        tally.apply(rollout.started())
        tally.apply(rollout.closed("solved" if number % 3 else "unsolved", counted=True))
    assert tally.line(0.0) == "0 of 10 finished, 0 running, $0.0000"
    for rollout in rollouts[:6]:
        tally.apply(rollout.curated())
    assert tally.line(0.0) == "6 of 10 finished, 0 running, 4 solved, 2 unsolved, $0.0000"
    assert tally.outcomes.total() == tally.curated == tally.finished == 6


def test_a_curation_that_arrives_before_the_outcome_counts_with_it():
    submission = uuid4()
    tally = RolloutTally(1, {submission: 1})
    rollout = Events(submission)
    tally.apply(rollout.curated())
    assert tally.line(0.0) == "0 of 1 finished, 0 running, $0.0000"
    tally.apply(rollout.closed("solved", counted=True))
    assert tally.line(0.0) == "1 of 1 finished, 0 running, 1 solved, $0.0000"


def test_a_rejected_submission_gives_all_of_its_samples_up():
    submission = uuid4()
    tally = RolloutTally(7, {submission: 5})
    tally.apply(envelope(TaskRejected(submission_id=submission, errors=[FieldError(field="task", message="?")])))
    assert (tally.finished, tally.given_up) == (5, 5)


def test_before_anything_is_finished_no_rate_is_made_up():
    assert RolloutTally(3).line(0.0) == "0 of 3 finished, 0 running, $0.0000"


@pytest.mark.parametrize(
    ("cost", "known", "text"),
    [(0, True, "$0.0000"), (0, False, "cost unknown"), (12_345, False, "at least $0.0123"), (12_345, True, "$0.0123")],
)
def test_an_unknown_cost_is_no_figure(cost: int, known: bool, text: str):
    assert cost_text(cost, known=known) == text


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (90, "2 min"), (3700, "1 h 1 min")])
def test_durations_are_for_people(seconds: float, text: str):
    assert duration(seconds) == text


def entry(model: str, outcome: str, verdict: str | None = "accept", **changes: object) -> dict[str, object]:
    return {"model": model, "task": "t", "outcome": outcome, "verdict": verdict, "cost_microusd": 10,
            "cost_known": True, **changes}  # fmt: skip


def test_totals_have_a_row_for_each_model_and_one_for_all():
    entries = [entry("a", "solved"), entry("a", "unsolved", "reject"), entry("b", "solved", None, cost_known=False)]
    made = result_totals(entries, "model")
    assert made.columns == ["model", "runs", "solved", "unsolved", "accept", "reject", "no verdict", "cost"]
    assert made.rows == [
        ["a", "2", "1", "1", "1", "1", "0", "$0.0000"],
        ["b", "1", "1", "0", "0", "0", "1", "at least $0.0000"],
        ["all", "3", "2", "1", "1", "1", "1", "at least $0.0000"],
    ]


def test_two_hundred_runs_are_few_rows():
    made = result_totals([entry(f"m{number % 2}", "solved", task=f"t{number % 3}") for number in range(200)], "task")
    assert [row[:2] for row in made.rows] == [["t0", "67"], ["t1", "67"], ["t2", "66"], ["all", "200"]]


def test_one_reason_is_one_line_with_its_tasks_and_a_count():
    failed = [FailedRun("a", "no sandbox")] * 9 + [FailedRun("b", "no sandbox"), FailedRun("c", "other")]
    assert failure_lines(failed) == ["a, b (10 times): no sandbox", "c: other"]
    many = [FailedRun(str(number), "x") for number in range(5)]
    assert failure_lines(many) == ["0, 1, 2 and 2 more (5 times): x"]


def test_failures_are_headed_by_the_name_of_the_task_and_not_by_a_digest():
    submission = uuid4()
    wanted = TaskSubmitted(task=TASK.digest, submission_id=submission)
    rejected, accepted = Progress(submission), Progress(submission)
    rejected.apply(envelope(TaskRejected(submission_id=submission, errors=[FieldError(field="route", message="none")])))
    events = Events(submission)
    values = {"submission_id": submission, "campaign": "c", "task": TASK, "pool": "docker"}
    accepted.apply(envelope(TaskAccepted.model_validate({**values, "rollout_ids": [events.rollout.rollout_id]})))
    accepted.apply(events.closed("infra_error", counted=False))
    accepted.state = "failed"
    assert failures([wanted, wanted], [rejected, accepted], {TASK.digest: "my-tasks/one"}) == [
        FailedRun("my-tasks/one", "rejected: route: none"),
        FailedRun("simple-task-001", "failed: no sandbox"),
    ]
