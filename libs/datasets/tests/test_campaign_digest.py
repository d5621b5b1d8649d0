"""The digest of a campaign covers what agents did, and nothing that a replay cannot have in common."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from synthbench.contracts.records import ArtifactRef, Outcome, Rollout, TaskInfo, Timing, Usage
from synthbench.contracts.steps import Action, ChangedPath, ModelCall, Observation, State, Step, ToolCall
from synthbench.contracts.trajectory import AttemptContext, SandboxInfo, Trajectory
from synthbench.contracts.verification import TestResult, TestStatus, VerificationResult
from synthbench.datasets.campaign_digest import campaign_digest, rollout_digest

DIGEST = "sha256:" + "0" * 64


def make(*, later: float = 0.0, **changes: Any) -> Trajectory:
    """A trajectory at some time, on some host, with what shall be different in it."""
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=later)
    given: dict[str, Any] = {
        "route": "chat/small", "sample": 0, "seed": 4, "message": "I look.", "content": f"3 tests in {later + 0.1}s",
        "reward": 0.1, "cost": int(later), "tests": ["a", "b"], "patch": "-x", "file": DIGEST, "arguments": "{}",
    } | changes  # fmt: skip
    tool_calls = [ToolCall(id="c1", name="bash", arguments=given["arguments"])]
    step = Step(
        started_at=moment, finished_at=moment + timedelta(seconds=1 + later),
        action=Action(message=given["message"], tool_calls=tool_calls),
        observations=[Observation(tool_call_id="c1", content=given["content"], exit_code=0, seconds=later)],
        state=State(
            cwd="/workspace",
            changed=[
                ChangedPath(path="a.py", kind="modified", digest=given["file"]),
                ChangedPath(path="__pycache__/a.pyc", kind="added", digest=f"sha256:{int(later):064x}"),
            ],
            checkpoint=ArtifactRef(uri=f"artifact://key/{int(later)}", digest=DIGEST),
        ),
        usage=Usage(calls=1, input_tokens=7, cost_microusd=given["cost"]), timing=Timing(tool_seconds=later),
        model_call=ModelCall(call_id=uuid4(), model=given["route"], base=str(later)),
    ).sealed()  # fmt: skip
    rollout = Rollout(
        rollout_id=uuid4(), submission_id=uuid4(), campaign=f"night-{later}", task=TaskInfo(name="t", digest=DIGEST),
        scaffold="native", route=given["route"], sample=given["sample"], seed=given["seed"], pool=f"pool-{later}",
    )  # fmt: skip
    tests = [TestResult(name=name, status=TestStatus.PASSED, seconds=later) for name in given["tests"]]
    return Trajectory(
        trajectory_id=uuid4(), rollout=rollout, attempt=1 + int(later), steps=[step], outcome=Outcome.SOLVED,
        context=AttemptContext(executor=f"host-{later}", sandbox=SandboxInfo(engine=f"engine-{later}")),
        reward=given["reward"], patch=given["patch"], started_at=moment, usage=step.usage,
        verification=VerificationResult(reward=1.0, tests=tests, seconds=later),
    )  # fmt: skip


def test_ids_times_hosts_costs_and_attempts_do_not_count():
    assert rollout_digest(make(later=3600.5)) == rollout_digest(make())
    assert rollout_digest(make(tests=["b", "a"])) == rollout_digest(make())
    assert rollout_digest(make(route="replay/chat/small")) == rollout_digest(make())


@pytest.mark.parametrize(
    "changes",
    [
        {"route": "chat/large"}, {"sample": 1}, {"seed": 5}, {"message": "I looked."}, {"content": "4 tests in 0.1s"},
        {"reward": 0.1 + 2**-55}, {"tests": ["a"]}, {"patch": "-y"}, {"file": "sha256:" + "1" * 64},
        {"arguments": '{"seconds": 1.0}'},
    ],
)  # fmt: skip
def test_what_an_agent_did_counts(changes):
    assert rollout_digest(make(**changes)) != rollout_digest(make())


def test_a_campaign_is_its_rollouts_in_any_order():
    rollouts = [rollout_digest(make(sample=sample)) for sample in range(5)]
    shuffled = random.Random(1).sample(rollouts, k=5)
    assert campaign_digest(shuffled) == campaign_digest(rollouts)
    assert campaign_digest(rollouts[:4]) != campaign_digest(rollouts)
    assert campaign_digest([*rollouts, rollouts[0]]) != campaign_digest(rollouts)


def test_the_digest_of_a_known_trajectory_stays():
    """A change of the canonical fields needs a new name in SCHEMA."""
    assert rollout_digest(make()) == "sha256:c1a6e850ab479fb6d18cd44a580aff296699be58061199c36cf6c272e0eac277"
