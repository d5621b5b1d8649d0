"""The canonical digest of a campaign: equal when the same agents did the same and got the same for it. Pure.

It is taken over named fields of each counted trajectory. What a replay cannot have in common is left out: ids, times,
durations, hosts, versions, costs, the campaign's name, how often an attempt was lost, where artifacts lie. Texts that
the environment wrote are made steady first (`synthbench.contracts.steady`). Numbers stand as JSON writes them, so that
no float is rounded. docs/gateway.md lists the fields.
"""

from collections.abc import Iterable
from typing import Any

from synthbench.contracts.ids import canonical_json, sha256_digest
from synthbench.contracts.scaffolds import REPLAY_PREFIX
from synthbench.contracts.steady import steady
from synthbench.contracts.steps import Observation, State, Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.contracts.verification import VerificationResult

SCHEMA = "synthbench.campaign-digest.v1"
_CLOCKED = (".pyc",)
"""Files that hold the time of their making."""


def campaign_digest(rollouts: Iterable[str]) -> str:
    """Digest of a campaign.

    Args:
        rollouts: `rollout_digest` of every counted trajectory, in any order.
    """
    return sha256_digest(canonical_json([SCHEMA, sorted(rollouts)]))


def rollout_digest(trajectory: Trajectory) -> str:
    """Digest of one rollout's counted trajectory."""
    return sha256_digest(canonical_json(canonical_rollout(trajectory)))


def canonical_rollout(trajectory: Trajectory) -> dict[str, Any]:
    """The fields that count, as JSON types."""
    rollout, context = trajectory.rollout, trajectory.context
    return {
        "task": {"name": rollout.task.name, "digest": rollout.task.digest},
        "scaffold": rollout.scaffold,
        "scaffold_args": rollout.scaffold_args,
        "route": rollout.route.removeprefix(REPLAY_PREFIX),  # it answers as the route did
        "sample": rollout.sample,
        "seed": rollout.seed,
        "forked_step": rollout.forked_from.step if rollout.forked_from else None,
        "instruction": context.instruction,
        "system_prompt": context.system_prompt,
        "tools": context.tools,
        "steps": [_step(step) for step in trajectory.steps],
        "outcome": trajectory.outcome.value,
        "reward": trajectory.reward,
        "verification": _verification(trajectory.verification) if trajectory.verification else None,
        "patch": trajectory.patch,
    }


def _step(step: Step) -> dict[str, Any]:
    usage = step.usage.model_dump(mode="json", exclude={"cost_microusd", "cost_known"})
    if not usage["cache_write_1h_tokens"]:  # a field that came later: the digests of earlier campaigns still hold
        del usage["cache_write_1h_tokens"]
    return {
        "index": step.index,
        **({} if step.kind == "turn" else {"kind": step.kind}),
        "action": step.action.to_dict(),
        "observations": [_observation(one) for one in step.observations],
        "state": _state(step.state),
        "reward": step.reward,
        "reward_parts": step.reward_parts,
        "usage": usage,
        "model": step.model_call.model.removeprefix(REPLAY_PREFIX) if step.model_call else None,
    }


def _observation(observation: Observation) -> dict[str, Any]:
    return {
        "tool_call_id": observation.tool_call_id,
        "content": steady(observation.content),
        "shown": None if observation.shown is None else steady(observation.shown),
        "exit_code": observation.exit_code,
        "error": observation.error,
    }


def _state(state: State) -> dict[str, Any]:
    changed = [[one.path, one.kind, one.type, None if _clocked(one.path) else one.digest] for one in state.changed]
    left_out = sorted(state.left_out)
    return {
        "cwd": state.cwd, "exit_code": state.exit_code, "changed": changed, "patch": state.patch, "left_out": left_out,
    }  # fmt: skip


def _clocked(path: str) -> bool:
    """Whether a file's content tells when it was made: Python's caches, git's own records."""
    return path.endswith(_CLOCKED) or ".git" in path.split("/")


def _verification(result: VerificationResult) -> dict[str, Any]:
    return {
        "reward": result.reward,
        "reward_parts": result.reward_parts,
        "tests": sorted([test.name, test.status.value, test.required] for test in result.tests),
        "forgeable": result.forgeable,
        "left_out": sorted(result.left_out),
    }
