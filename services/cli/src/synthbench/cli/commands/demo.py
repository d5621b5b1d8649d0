"""`demo`: one task step by step, then all six with two simulated models."""

from synthbench.cli import console
from synthbench.cli.commands.generate import (
    Campaign,
    generate_trajectory,
    report_failures,
    submissions_of,
    tally_of,
)
from synthbench.cli.progress_display import showing_progress
from synthbench.cli.sessions import session
from synthbench.client.runs import FailedRun, RecordedTrajectory, run_submissions
from synthbench.embedded.datadir import DataDir

_FIRST = "simple-task-001"
_MODELS = ["sim/expert", "sim/novice"]


async def demo() -> int:
    """Show the main job: a task becomes a stored, verified, scored trajectory. Needs no key and no Docker."""
    async with session() as client:  # one stack for both parts
        console.headline(f"1. One task: {_FIRST} with the simulated model sim/expert")
        code = await generate_trajectory(task=_FIRST, model="sim/expert")
        if code:
            return code
        console.headline("2. The whole library with sim/expert and sim/novice")
        campaign = Campaign(name="demo", tasks=["*"], models=_MODELS, seed=1)
        submissions, names = await submissions_of(client, campaign)
        async with showing_progress(campaign.name, tally_of(submissions)) as listener:
            recorded, failed = await run_submissions(client, submissions, listener, names)
    recorded.sort(key=lambda one: (one.trajectory.rollout.route, one.trajectory.rollout.task.name))
    console.results([one.row() for one in recorded])
    problems = failed + [_unexpected(one) for one in recorded if _is_unexpected(one)]
    code = report_failures(problems)
    if code == 0:
        console.say(
            f"the records lie in {DataDir().path}; next: `.venv/bin/synth-bench trajectories list`, and the README"
        )
    return code


def _is_unexpected(recorded: RecordedTrajectory) -> bool:
    """Whether it is unsolved although sim/expert solves every easy and medium task."""
    rollout = recorded.trajectory.rollout
    solvable = rollout.route == "sim/expert" and rollout.task.difficulty in ("easy", "medium")
    return solvable and recorded.trajectory.verified_reward != 1.0


def _unexpected(recorded: RecordedTrajectory) -> FailedRun:
    trajectory = recorded.trajectory
    reason = f"sim/expert earned {trajectory.verified_reward:g}: {trajectory.outcome} {trajectory.detail}"
    return FailedRun(trajectory.rollout.task.name, reason)
