"""`artifacts verify`: what the catalogue names is there, and is what its digests say."""

from collections.abc import Iterator

from cyclopts import App

from synthbench.cli import console
from synthbench.cli.session import session
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import step_digest
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.trajectories import read_trajectory

app = App(name="artifacts", help="What lies in the artifact store.")
_TOLD = 20


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
    for problem in problems[:_TOLD]:
        console.say(problem)
    if len(problems) > _TOLD:
        console.say(f"and {len(problems) - _TOLD} more")
    console.say(f"{count} trajectories read, {len(seen)} artifacts that they name looked for, {len(problems)} problems")
    return 1 if problems else 0


async def problems_of(store: ArtifactStore, artifact: ArtifactRef, steps: int, seen: set[str]) -> list[str]:
    """What is wrong with one, a line each; URIs that were looked for already are in `seen`."""
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
    for what, reference in _named(trajectory):
        if reference.uri not in seen:
            seen.add(reference.uri)
            if not await store.exists(reference.uri):
                found.append(f"{what} is gone: {reference.uri}")
    return found


def _named(trajectory: Trajectory) -> Iterator[tuple[str, ArtifactRef]]:
    if trajectory.diff:
        yield "its change", trajectory.diff
    if trajectory.imported and trajectory.imported.original:
        yield "its original", trajectory.imported.original
    for kept in trajectory.kept:
        if kept.artifact:
            yield kept.path, kept.artifact
    for step in trajectory.steps:
        if step.state.checkpoint:
            yield f"the checkpoint of step {step.index}", step.state.checkpoint
