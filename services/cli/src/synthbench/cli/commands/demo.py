"""`demo`: one task step by step, then all six with two simulated models."""

from synthbench.cli import console
from synthbench.cli.commands.generate import (
    Campaign,
    generate_trajectory,
    report_failures,
    submissions_of,
    tally_of,
)
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.following import following
from synthbench.cli.session import session
from synthbench.cli.work import Failed, Made, carry_out

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
        async with following(campaign.name, tally_of(submissions)) as listener:
            made, failed = await carry_out(client, submissions, listener, names)
    made.sort(key=lambda one: (one.trajectory.rollout.route, one.trajectory.rollout.task.name))
    console.results([one.row() for one in made])
    problems = [*failed, *(Failed(one.trajectory.rollout.task.name, _unsolved(one)) for one in made if _should(one))]
    code = report_failures(problems)
    if code == 0:
        console.say(
            f"the records lie in {DataDir().path}; next: `.venv/bin/synth-bench trajectories list`, and the README"
        )
    return code


def _should(made: Made) -> bool:
    """Whether it is unsolved although sim/expert solves every easy and medium task."""
    rollout = made.trajectory.rollout
    expected = rollout.route == "sim/expert" and rollout.task.difficulty in ("easy", "medium")
    return expected and made.trajectory.verified_reward != 1.0


def _unsolved(made: Made) -> str:
    return f"sim/expert earned {made.trajectory.verified_reward:g}: {made.trajectory.outcome} {made.trajectory.detail}"
