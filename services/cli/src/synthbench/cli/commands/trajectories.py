"""`trajectories list|show|export|fork|rescore|import`."""

from typing import Annotated, Any

from cyclopts import App, Parameter, validators

from synthbench.cli import console
from synthbench.cli.commands.exporting import export
from synthbench.cli.commands.generate import generate, microusd, show_made, submission_of
from synthbench.cli.commands.importing import add_to
from synthbench.cli.commands.rescore import rescore
from synthbench.cli.session import session
from synthbench.contracts.ids import uuid7
from synthbench.contracts.scaffolds import MODEL_FREE

_LINES = 6
_PATCH_LINES = 60
app = App(name="trajectories", help="What was recorded.")
app.command(rescore)
app.command(export)
add_to(app)


@app.command(name="list")
async def list_trajectories(
    wanted: str = "",
    /,
    *,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=1000))] = 50,
    wide: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """List stored trajectories, newest first.

    Args:
        wanted: A filter, which may hold words to search for: 'outcome:solved steps<20 rounding'; see docs/catalogue.md.
        limit: At most so many.
        wide: Whole ids on a terminal, too; every command takes the beginning of an id that no other has.
        json: Print them as JSON.
    """
    params = {"filter": wanted, "limit": limit, "total": True}
    async with session() as client:
        found: dict[str, Any] = await client.find("/v1/trajectories", params=params) or {}
    entries: list[dict[str, Any]] = found.get("trajectories", [])
    if json:
        console.show_json(entries)
        return
    columns = ["task", "scaffold", "route", "outcome", "reward", "steps", "verdict", "curation"]
    rows = [
        [console.short_id(entry["trajectory_id"], wide=wide), *(_shown(entry.get(column)) for column in columns),
         _parent(entry, wide=wide)] for entry in entries
    ]  # fmt: skip
    console.table(["trajectory_id", *columns, "from"], rows)
    total = int(found.get("total") or 0)
    if total > len(entries):
        console.say(f"{len(entries)} of {total}, the newest; --limit shows more, a filter fewer")


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str("" if value is None else value)


def _parent(entry: dict[str, Any], *, wide: bool) -> str:
    """Whose steps it begins with: `ID@K` of a fork, the last step that a resumed attempt took over."""
    if entry.get("forked_from"):
        return f"{console.short_id(entry['forked_from'], wide=wide)}@{entry['forked_step']}"
    return "" if entry.get("resumed_from") is None else f"resumed@{entry['resumed_from']}"


@app.command
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
        made, failed = await generate(client, wanted, {wanted.task: parent.rollout.task.name}, quiet=json)
    return show_made(made, failed, json=json)


@app.command
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
        console.out.print(console.step_line(step))
        for seen in step.observations:
            console.passage("", seen.content, lines)
    console.passage("patch", found.patch, None if full else _PATCH_LINES)
    console.summary(found, entry, entry["artifact"]["uri"])
