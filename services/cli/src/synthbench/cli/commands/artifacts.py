"""`artifacts verify|gc`: is everything there that is named, and what is there that nothing names."""

from typing import Annotated

from cyclopts import App, Parameter
from rich import filesize

from synthbench.cli import console
from synthbench.cli.sessions import session
from synthbench.contracts.naming import artifacts_of
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import step_digest
from synthbench.operations.garbage import Garbage
from synthbench.operations.operator import as_operator, connected
from synthbench.storage.artifacts import ArtifactStore, StoredBody
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import read_trajectory

app = App(name="artifacts", help="What lies in the artifact store.")
_SHOWN = 20


@app.command
async def verify(wanted: str = "", /) -> int:
    """Read every stored trajectory whole, look at each step, and see that all they name is there.

    Args:
        wanted: Only those that fit a filter; see docs/catalogue.md.
    """
    problems: list[str] = []
    seen: set[str] = set()
    count = 0
    async with session() as client:
        async for entry in client.trajectories(wanted):
            artifact = ArtifactRef.model_validate(entry["artifact"])
            name = f"trajectory {entry['trajectory_id']}"
            problems += [f"{name}: {one}" for one in await problems_of(client.store, artifact, entry["steps"], seen)]
            count += 1
            if count % 500 == 0:
                console.say(f"{count} trajectories read, {len(problems)} problems")
    for problem in problems[:_SHOWN]:
        console.say(problem)
    if len(problems) > _SHOWN:
        console.say(f"and {len(problems) - _SHOWN} more")
    console.say(f"{count} trajectories read, {len(seen)} artifacts that they name looked for, {len(problems)} problems")
    return 1 if problems else 0


async def problems_of(store: ArtifactStore, artifact: ArtifactRef, steps: int, seen: set[str]) -> list[str]:
    """Return the problems of one stored trajectory, a line each; `seen` holds the URIs that were looked up already."""
    try:
        trajectory = await read_trajectory(store, artifact.uri)
    except (ArtifactCorrupt, ArtifactNotFound) as error:
        return [str(error)]
    found: list[str] = []
    if len(trajectory.steps) != steps:
        found.append(f"it has {len(trajectory.steps)} steps, and the catalogue says {steps}")
    found += [
        f"step {step.index} is not what its digest says"
        for step in trajectory.steps
        if step.digest != step_digest(step)
    ]
    for reference in artifacts_of(trajectory):
        if reference.uri not in seen:
            seen.add(reference.uri)
            if not await store.exists(reference.uri):
                found.append(f"it names {reference.uri}, which is gone")
    return found


@app.command
async def gc(
    *,
    days: float = 14.0,
    delete: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show what nothing names any more: no trajectory, no task, no event, no record. With --delete it goes.

    For the embedded stack it knows the way. Elsewhere it needs the operator's settings, as `audit` does.

    Args:
        days: Only what was put so many days ago, at least 2.
        delete: Delete it.
        json: Print what is found as JSON.
    """
    async with as_operator(console.say) as operator, connected(operator.dsn) as connection:
        garbage = Garbage(operator, connection, days, console.say)
        await garbage.mark()
        shown, count, size = list[StoredBody](), 0, 0
        async for body in garbage.found():
            gone = await garbage.delete([body]) if delete else [body]
            count, size = count + len(gone), size + sum(one.size for one in gone)
            if json or len(shown) < _SHOWN:
                shown += gone
    if json:
        console.show_json([{"uri": one.uri, "size": one.size, "put": one.modified, "deleted": delete} for one in shown])
        return
    console.table(
        ["artifact", "size", "put"], [[b.uri, filesize.decimal(b.size), f"{b.modified:%Y-%m-%d}"] for b in shown]
    )
    if count > len(shown):
        console.say(f"and {count - len(shown)} more")
    console.say(
        f"{count} artifacts, {filesize.decimal(size)}, put {days:g} days ago or earlier and named by nothing"
        + (": deleted" if delete else "; with --delete they go" if count else "")
    )
