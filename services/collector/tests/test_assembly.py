"""Which steps make a trajectory."""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from synthbench.collector.domain.assembly import Assembly, StepTotals, assemble, build, summarise
from synthbench.collector.domain.soundness import sound
from synthbench.contracts.events import AttemptClosed
from synthbench.contracts.records import Timing, Usage
from synthbench.contracts.steps import Action, ModelCall, Step, StepOrigin

STEPS = [
    Step(
        index=index, started_at=datetime(2026, 1, 1, tzinfo=UTC), finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        action=Action(message=str(index)),
    ).sealed()
    for index in range(6)
]  # fmt: skip
DIGESTS = [step.digest for step in STEPS]


def test_everything_that_was_reported_is_there():
    found = assemble(dict(enumerate(DIGESTS)), DIGESTS)
    assert found.complete
    assert found.count == len(STEPS)


def test_a_gap_is_named_and_nothing_behind_it_is_used():
    found = assemble({0: DIGESTS[0], 1: DIGESTS[1], 3: DIGESTS[3]}, DIGESTS[:4])
    assert (found.complete, found.missing, found.count) == (False, (2,), 2)


def test_another_content_than_the_reported_one_is_missing():
    forged = STEPS[1].model_copy(update={"action": Action(message="forged")}).sealed()
    found = assemble({0: DIGESTS[0], 1: forged.digest}, DIGESTS[:2])
    assert (found.missing, found.count) == ((1,), 1)
    assert not sound(STEPS[1].model_copy(update={"reward": 1.0}))


def test_steps_behind_the_report_belong_to_nobody():
    assert assemble(dict(enumerate(DIGESTS)), DIGESTS[:2]) == Assembly(2)


@given(st.sets(st.integers(0, 5)))
def test_without_a_report_it_is_the_longest_unbroken_prefix(present: set[int]):
    found = assemble({index: DIGESTS[index] for index in present}, None)
    assert found.complete
    length = next((index for index in range(7) if index not in present), 6)
    assert found.count == length


def report(**more: object) -> AttemptClosed:
    golden = Path(__file__).parents[3] / "proto" / "golden" / "attempt.closed.full.json"
    closed = json.loads(golden.read_text())
    closed["report"] |= more
    return AttemptClosed.model_validate(closed)


def test_the_reward_is_the_scalar_of_the_parts():
    parts = {"parts": {"terminal": 1.0}, "weights": {"terminal": 0.5}, "scalar": 0.5}
    made = build(report(rewards=parts, verification={"reward": 1.0}), None, Assembly(0), StepTotals(), "")
    assert (made.reward, made.verified_reward) == (0.5, 1.0)
    assert made.rewards is not None
    assert made.rewards.to_dict() == {"steps": [], "missing": {}, **parts}


def test_of_an_executor_that_knew_no_parts_it_is_the_verifiers_word():
    made = build(report(rewards=None, verification={"reward": 1.0}), None, Assembly(0), StepTotals(), "")
    assert (made.reward, made.rewards) == (1.0, None)
    made = build(report(rewards=None, verification=None), None, Assembly(0), StepTotals(), "")
    assert (made.reward, made.verified_reward) == (0.0, 0.0)


def test_steps_are_counted_one_by_one_and_copies_cost_nothing():
    totals = StepTotals()
    own = STEPS[0].model_copy(
        update={"usage": Usage(input_tokens=5), "timing": Timing(tool_seconds=2), "model_call": ModelCall(model="m")}
    )
    origin = StepOrigin(rollout_id=uuid4(), attempt=1, index=1)
    for step in (own, own.model_copy(update={"copied_from": origin}), STEPS[2]):
        totals.add(step)
    assert (totals.steps, totals.model, totals.usage.input_tokens, totals.timing.tool_seconds) == (3, "m", 5, 2)
    without_report = report().model_copy(update={"report": None})
    made = build(without_report, None, Assembly(3), totals, "")
    assert (made.usage, made.timing, made.steps) == (totals.usage, totals.timing, [])
    assert summarise(made, totals).steps == 3
