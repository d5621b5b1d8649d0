"""A finished trajectory is branched: the same first steps, another end."""

import json
from pathlib import Path

import pytest

from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.trajectories import decode

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]

KEPT = 6


@pytest.fixture(scope="module")
def parent(stack) -> Trajectory:
    return read(stack.json("generate-trajectory", "--task", "simple-task-001", "--model", "sim/expert"))[0]


def read(rows: list[dict]) -> list[Trajectory]:
    return [decode(Path(row["location"]).read_bytes()) for row in rows]


def test_branches_begin_alike_and_end_differently(stack, parent: Trajectory):
    identity, last = str(parent.trajectory_id), str(KEPT - 1)
    rows = stack.json("trajectories", "fork", identity, "--step", last, "--model", "sim/novice", "--samples", "2")
    branches = read(rows)
    assert len({branch.trajectory_id for branch in branches}) == 2
    for branch in branches:
        assert branch.rollout.forked_from is not None
        assert (branch.rollout.forked_from.trajectory_id, branch.rollout.forked_from.step) == (
            parent.trajectory_id, KEPT - 1,
        )  # fmt: skip
        assert (branch.context.resumed_from, branch.context.resumed_attempt) == (KEPT - 1, None)
        kept = [step.model_copy(update={"copied_from": None}).sealed() for step in branch.steps[:KEPT]]
        assert kept == parent.steps[:KEPT]
        origins = {(step.copied_from.rollout_id, step.copied_from.attempt) for step in branch.steps if step.copied_from}
        assert origins == {(parent.rollout.rollout_id, parent.attempt)}
        assert branch.steps[KEPT].action != parent.steps[KEPT].action
        assert branch.usage.calls == len(branch.steps) - KEPT
        # A pair shares its prompt word for word.
        prompt = [json.loads(step.model_call.messages) for step in branch.steps[: KEPT + 1] if step.model_call]
        assert prompt == [json.loads(step.model_call.messages) for step in parent.steps[: KEPT + 1] if step.model_call]
    listed = stack.ask("trajectories", "list").stdout
    assert listed.count(f"{identity}@{last}") == 2
    assert f"goes on after step {KEPT - 1} of trajectory {identity}" in (
        stack.ask("trajectories", "show", str(branches[0].trajectory_id)).stdout
    )
    audited = json.loads(stack.ask("audit", "--json", check=False).stdout)
    about = [one for one in audited if "model call" in one["invariant"] or "whole and unaltered" in one["invariant"]]
    assert len(about) >= 2
    assert [one["culprits"] for one in about if not one["held"]] == []


def test_the_same_model_makes_the_same_solution_from_anywhere(stack, parent: Trajectory):
    (branch,) = read(stack.json("trajectories", "fork", str(parent.trajectory_id), "--step", "2"))
    assert branch.outcome == "solved"
    assert branch.patch == parent.patch


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--step", "9"], "fork.step: the trajectory has 10 steps; it can be forked after 0 to 8, counted from 0"),
        (["--step", "-1"], "--step: Input should be greater than or equal to 0"),
        (["--step", "1", "--scaffold", "oracle"], "scaffold: oracle cannot go on from recorded steps"),
        (["--step", "1", "--model", "openai/gpt-5"], "route: the trajectory is simulated"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_forked_is_said_in_a_line(stack, parent: Trajectory, options: list[str], said: str):
    done = stack.ask("trajectories", "fork", str(parent.trajectory_id), *options, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_trajectory_is_said_in_a_line(stack):
    done = stack.ask("trajectories", "fork", "0190a5c0-0000-7000-8000-0000000000f0", "--step", "1", check=False)
    assert done.returncode != 0
    assert "no trajectory 0190a5c0" in done.stderr
