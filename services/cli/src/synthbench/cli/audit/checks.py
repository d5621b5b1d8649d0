"""The invariants, each as culprits: an empty list means that it is held."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from synthbench.contracts.registry import Service, Stream, durable, durables
from synthbench.contracts.steps import step_digest
from synthbench.contracts.streams import streams
from synthbench.contracts.trajectory import Trajectory
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.storage.queries import Queries
from synthbench.storage.trajectories import read_trajectory
from synthbench.storage.walk import files_below

ALWAYS = Queries.load("synthbench.cli.audit")
SETTLED = Queries.load("synthbench.cli.audit", "settled.sql")
CULPRITS = 20


@dataclass(frozen=True)
class Finding:
    """One invariant, and who breaks it."""

    invariant: str
    culprits: Sequence[str] = ()
    note: str = ""

    @property
    def held(self) -> bool:
        """Whether nobody does."""
        return not self.culprits


_HEALED_BY_CALLS = "ledger and catalogue know the same model calls"


async def calls_on_their_way(connection: psycopg.AsyncConnection[Any], js: JetStreamContext) -> int:
    """How many model calls the ledger announced, or will, that the catalogue has not taken in yet."""
    row = await (
        await connection.execute(
            "select count(*) as waiting from ledger.outbox where published_at is null and subject = 'llm.called'"
        )
    ).fetchone()
    heard = durable(Service.COLLECTOR, "llm.called")
    try:
        info = await js.consumer_info(str(heard.stream), heard.name)
    except NotFoundError:
        return row["waiting"] if row else 0
    return (row["waiting"] if row else 0) + (info.num_pending or 0) + (info.num_ack_pending or 0)


def unless_settling(finding: Finding, on_their_way: int) -> Finding:
    """The finding without culprits where what is on its way heals it: that is no broken promise yet."""
    if finding.held or finding.invariant != _HEALED_BY_CALLS or not on_their_way:
        return finding
    return replace(finding, culprits=(), note=f"not settled yet: {on_their_way} calls are on their way")


async def database(connection: psycopg.AsyncConnection[Any], queries: Queries) -> AsyncGenerator[Finding]:
    """Those that are one query each."""
    for name in queries:
        rows = await (await connection.execute(queries[name])).fetchmany(CULPRITS)
        yield Finding(name.replace("_", " "), [str(next(iter(row.values()))) for row in rows])


async def trajectories(connection: psycopg.AsyncConnection[Any], store: ArtifactStore) -> AsyncGenerator[Finding]:
    """Read every stored trajectory, and look at each step."""
    broken: list[str] = []
    unexplained: list[str] = []
    calls: list[str] = []
    called = await connection.execute("select call_id, rollout_id, attempt from ledger.calls")
    known = {row["call_id"]: (row["rollout_id"], row["attempt"]) for row in await called.fetchall()}
    rows = await connection.execute(
        "select trajectory_id, rollout_id, attempt, steps, artifact->>'uri' as uri from catalogue.trajectories"
    )
    count = 0
    async for row in rows:
        count += 1
        name = f"trajectory {row['trajectory_id']}"
        try:
            found = await read_trajectory(store, row["uri"])
        except (ArtifactNotFound, ArtifactCorrupt) as error:
            broken.append(f"{name}: {str(error).splitlines()[0]}")
            continue
        if (found.trajectory_id, found.rollout.rollout_id, found.attempt, len(found.steps)) != (
            row["trajectory_id"], row["rollout_id"], row["attempt"], row["steps"],
        ):  # fmt: skip
            broken.append(f"{name}: the catalogue's row is about something else")
        broken += [f"{name}: {problem}" for problem in _step_problems(found)]
        if found.imported is None and found.outcome.gradable and not found.incomplete and found.verification is None:
            unexplained.append(f"{name}: {found.outcome} without a verification")
        calls += [f"{name} {problem}" for problem in _call_problems(found, known)]
    yield Finding("every trajectory is whole and unaltered", broken[:CULPRITS], f"{count} read")
    yield Finding("every graded trajectory was verified", unexplained[:CULPRITS])
    yield Finding("every model call of a step is in the ledger, of the attempt that made it", calls[:CULPRITS])


def _call_problems(found: Trajectory, known: Mapping[UUID, tuple[UUID, int]]) -> Iterable[str]:
    """A copied step's call was paid for where it comes from, and nowhere else."""
    for step in found.steps if found.imported is None else ():
        if step.model_call is None or step.model_call.call_id is None:
            continue
        origin = step.copied_from
        maker = (origin.rollout_id, origin.attempt) if origin else (found.rollout.rollout_id, found.attempt)
        payer = known.get(step.model_call.call_id)
        if payer != maker:
            where = f"billed to rollout {payer[0]} attempt {payer[1]}" if payer else "not in the ledger"
            yield f"step {step.index}: call {step.model_call.call_id} is {where}"


def _step_problems(found: Trajectory) -> Iterable[str]:
    for position, step in enumerate(found.steps):
        if step.index != position:
            yield f"step {position} is missing"
        if step.digest != step_digest(step):
            yield f"step {position} does not match its digest"


async def journals(connection: psycopg.AsyncConnection[Any], store: ArtifactStore) -> AsyncGenerator[Finding]:
    """The journal goes when its trajectory is stored; that of a lost attempt when the rollout's last one is."""
    over = await connection.execute(
        "select rollout_id::text as rollout from catalogue.attempts where last and state = 'stored'"
    )
    rows = await connection.execute(
        "select rollout_id::text || '/' || attempt as attempt from catalogue.attempts where state = 'stored'"
    )
    ended = {row["rollout"] for row in await over.fetchall()}
    stored = {row["attempt"] for row in await rows.fetchall()}
    journals = [key async for key in store.list("journal/") if "/".join(key.split("/")[1:3]) in stored]
    left = [key for key in journals if key.split("/")[1] in ended]
    kept = {"/".join(key.split("/")[1:3]) for key in journals if key not in left}
    yield Finding("no journal is left of a rollout that is over", left[:CULPRITS], f"{len(kept)} kept to resume from")


async def bus(
    js: JetStreamContext, clients: Sequence[str], pools: Sequence[str], *, settled: bool
) -> AsyncGenerator[Finding]:
    """Streams and durables are there; when all is settled, nothing waits."""
    missing: list[str] = []
    waiting: list[str] = []
    for stream in (spec.name for spec in streams(clients, pools)):
        try:
            await js.stream_info(stream)
        except NotFoundError:
            missing.append(f"stream {stream}")
    for one in durables(clients, pools):
        try:
            found = await js.consumer_info(str(one.stream), one.name)
        except NotFoundError:
            missing.append(f"consumer {one.name}")
            continue
        if found.num_pending or found.num_ack_pending:
            waiting.append(f"{one.name}: {found.num_pending} wait, {found.num_ack_pending} in hand")
    yield Finding("the bus has every stream and consumer", missing)
    if settled:
        yield Finding("no event waits on the bus", waiting)
    dead = 0 if f"stream {Stream.DEAD}" in missing else (await js.stream_info(Stream.DEAD)).state.messages
    yield Finding("no event vanished: what could not be handled is a dead letter", note=f"{dead} dead letters")


def secrets(data: Path, values: Sequence[str]) -> Finding:
    """No secret of this stack stands in an artifact, a log or on the bus' disk."""
    found: list[str] = []
    wanted = [value.encode() for value in values]
    for top in ("artifacts", "logs", "nats/jetstream"):
        for path in files_below(data / top):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if any(value in content for value in wanted):
                found.append(str(path.relative_to(data)))
    return Finding("no secret is in an artifact, an event or a log", found[:CULPRITS])
