"""Plans, claims and closings as values."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import Outcome, TaskInfo
from synthbench.scheduler.domain.attempts import AttemptLease, RolloutState, decide_claim, decide_close
from synthbench.scheduler.domain.planning import DeploymentPolicy, TaskFacts, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FACTS = TaskFacts(
    TaskInfo(name="t", digest="sha256:" + "0" * 64, difficulty="easy"), ("bubblewrap", "process"), from_library=True
)
POLICY = DeploymentPolicy(("bubblewrap",), ("native", "nop"))
LEASE = AttemptLease(2, "one", NOW + timedelta(seconds=30))


def planned(policy: DeploymentPolicy = POLICY, facts: TaskFacts = FACTS, **wanted: Any):
    return plan(uuid4(), TaskSubmitted.model_validate({"task": "t", "route": "sim/expert", **wanted}), facts, policy)


def test_samples_become_rollouts_with_seeds_of_their_own():
    made = planned(samples=3, seed=10, max_cost_microusd=5)
    assert [rollout.seed for rollout in made.rollouts] == [10, 11, 12]
    assert len({rollout.rollout_id for rollout in made.rollouts}) == 3
    assert all(rollout.simulated and rollout.limits.max_cost_microusd == 5 for rollout in made.rollouts)


@pytest.mark.parametrize(
    ("wanted", "seeds"),
    [
        ({}, [None, None]),
        ({"seed": 10}, [10, 11]),
        ({"sampling": {"seed": 0}}, [0, 1]),
        ({"seed": 10, "sampling": {"seed": 3}}, [3, 4]),
    ],
)
def test_a_seed_that_was_asked_for_is_sent_and_each_sample_has_its_own(wanted: dict, seeds: list):
    rollouts = planned(samples=2, **wanted).rollouts
    assert [rollout.sampling.seed for rollout in rollouts] == seeds


def test_every_sample_is_asked_with_the_submissions_parameters():
    rollouts = planned(samples=2, sampling={"temperature": 0.5, "extra_body": {"top_k": "4"}}).rollouts
    assert [rollout.sampling.temperature for rollout in rollouts] == [0.5, 0.5]
    assert rollouts[1].sampling.extra == {"top_k": 4}


@pytest.mark.parametrize(
    ("size", "samples", "field"),
    [(1000, 1000, None), (1000, 1, None), (200_000, 1, ""), (100_000, 83, None), (100_000, 200, "samples")],
)
def test_size_and_samples_of_a_submission_are_bounded_together(size: int, samples: int, field: str | None):
    errors = planned(scaffold="nop", route="", scaffold_args={"x": "y" * size}, samples=samples).errors
    assert [error.field for error in errors] == ([] if field is None else [field])


def test_the_same_submission_is_the_same_plan():
    identity, wanted = uuid4(), TaskSubmitted(task="t", route="gpt", samples=2)
    first, second = (plan(identity, wanted, FACTS, POLICY) for _ in range(2))
    assert first == second
    assert not first.rollouts[0].simulated


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"scaffold": "unknown"}, "scaffold"),
        ({"scaffold": "nop"}, "route"),
        ({"route": ""}, "route"),
        ({"engine": "docker"}, "engine"),
        ({"scaffold": "nop", "route": "", "sampling": {"temperature": 0.0}}, "sampling"),
        ({"seed": 2**53 - 1}, "seed"),
    ],
)
def test_what_cannot_be_is_refused_by_field(wanted: dict, field: str):
    assert [error.field for error in planned(**wanted).errors] == [field]


def test_a_task_that_no_engine_here_can_run_is_refused():
    facts = TaskFacts(FACTS.info, ("docker",), from_library=True)
    assert "docker" in planned(facts=facts).errors[0].message


def test_the_process_engine_is_for_library_tasks_with_simulated_models_only():
    process = DeploymentPolicy(("process",), ("native",))
    uploaded = TaskFacts(FACTS.info, ("process",), from_library=False)
    assert planned(process).pool == "process"
    assert planned(process, route="gpt").errors
    assert planned(process, uploaded).errors
    assert (
        planned(DeploymentPolicy(("process",), ("native",), allow_process=True), uploaded, route="gpt").pool
        == "process"
    )


@pytest.mark.parametrize(
    ("state", "attempts", "lease", "executor", "started", "status", "attempt"),
    [
        (RolloutState.READY, 0, None, "one", False, "granted", 1),
        (RolloutState.READY, 2, None, "one", False, "granted", 3),
        (RolloutState.RUNNING, 2, LEASE, "two", False, "busy", 0),
        (RolloutState.RUNNING, 2, LEASE, "one", False, "granted", 2),
        (RolloutState.RUNNING, 2, LEASE, "one", True, "busy", 0),
        (RolloutState.RUNNING, 2, AttemptLease(2, "one", NOW), "two", True, "busy", 0),
        (RolloutState.CLOSED, 1, None, "one", False, "gone", 0),
        (RolloutState.CANCELLED, 0, None, "one", False, "gone", 0),
        (RolloutState.FAILED, 3, None, "one", False, "gone", 0),
    ],
)
def test_claims(state, attempts, lease, executor, started, status, attempt):
    decision = decide_claim(state, attempts, lease, executor, NOW, started=started)
    assert (decision.status, decision.attempt) == (status, attempt)


def closing(outcome: Outcome, attempt: int = 1, *, cancelled: bool = False):
    return decide_close(outcome, "why", attempt - 1, max_attempts=3, cancelled=cancelled, pause=2.0)


def test_what_the_agent_did_counts_and_what_we_did_does_not():
    for outcome in Outcome:
        decision = closing(outcome)
        assert decision.counted == outcome.gradable
    assert closing(Outcome.SOLVED, cancelled=True).outcome is Outcome.CANCELLED
    assert not closing(Outcome.SOLVED, cancelled=True).counted


def test_a_released_attempt_is_no_failure():
    for failures in range(5):
        decision = decide_close(
            Outcome.INFRA_ERROR, "drained", failures, max_attempts=1, cancelled=False, pause=9.0, released=True
        )
        assert (decision.state, decision.retry_after, decision.counted) == (RolloutState.PLANNED, 0.0, False)


def test_our_failures_are_tried_again_with_growing_pauses_and_not_for_ever():
    decisions = [closing(Outcome.INFRA_ERROR, attempt) for attempt in (1, 2, 3)]
    assert [decision.retry_after for decision in decisions] == [2.0, 4.0, None]
    assert [decision.state for decision in decisions] == [
        RolloutState.PLANNED,
        RolloutState.PLANNED,
        RolloutState.FAILED,
    ]
