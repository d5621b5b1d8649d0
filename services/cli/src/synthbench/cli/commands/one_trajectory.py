"""`trajectories fork|show`: what is done with one stored trajectory."""

from typing import Annotated

from cyclopts import Parameter

from synthbench.cli import console, trajectory_view
from synthbench.cli.commands.generate import generate, show_recorded, submission_of
from synthbench.cli.sessions import session
from synthbench.client.amounts import microusd
from synthbench.contracts.ids import uuid7
from synthbench.contracts.scaffolds import MODEL_FREE

_LINES = 6
_PATCH_LINES = 60


async def fork(
    trajectory: str,
    /,
    *,
    step: int,
    model: str | None = None,
    scaffold: str = "native",
    samples: int = 1,
    seed: int = 0,
    max_cost: float = 1.0,
    allow_unknown_price: bool = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Branch a trajectory for preference pairs: keep its first steps and their files, and go on from there anew.

    Args:
        trajectory: Its id, or the beginning of it.
        step: The last step that is kept, by the number that `trajectories show` and the record give it (from 0).
        model: As in generate-trajectory; by default the trajectory's own.
        scaffold: Only native can go on from recorded steps.
        samples: How many branches.
        seed: For simulated models and for providers that take one.
        max_cost: Cap over all branches, in US dollars; what the kept steps cost is not counted again.
        allow_unknown_price: Go on where the model's price is unknown, so that no cap can hold.
        json: Print the result as JSON.
    """
    cap = microusd("--max-cost", max_cost)
    async with session() as client:
        entry, parent = await client.trajectory(trajectory)
        wanted = submission_of(
            task=parent.rollout.task.digest,
            submission_id=uuid7(),
            scaffold=scaffold,
            route="" if scaffold in MODEL_FREE else model or parent.rollout.route,
            campaign=parent.rollout.campaign,
            samples=samples,
            seed=seed,
            max_cost_microusd=cap,
            allow_unknown_price=allow_unknown_price,
            fork={"trajectory_id": entry["trajectory_id"], "artifact": entry["artifact"]["digest"], "step": step},
        )
        recorded, failed = await generate(client, wanted, {wanted.task: parent.rollout.task.name}, quiet=json)
    return show_recorded(recorded, failed, json=json)


async def show(trajectory: str, /, *, full: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Show one trajectory: the instruction, each step with what it answered, the patch, and how it was judged.

    Args:
        trajectory: Its id, or the beginning of it.
        full: All lines of instruction, output and patch; else their first ones.
    """
    async with session() as client:
        entry, found = await client.trajectory(trajectory)
    lines = None if full else _LINES
    console.out.print(f"{found.rollout.task.name} · {found.rollout.scaffold} {found.rollout.route}", markup=False)
    console.passage("instruction", found.context.instruction, lines)
    for step in found.steps:
        console.out.print(trajectory_view.step_line(step))
        for seen in step.observations:
            console.passage("", seen.content, lines)
    console.passage("patch", found.patch, None if full else _PATCH_LINES)
    trajectory_view.summary(found, entry, entry["artifact"]["uri"])
