"""What the collector keeps of steps, on a real Postgres: each once, whatever comes how often in which order."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
import structlog
from pydantic import SecretStr

from bench.collectors import steps_of
from synthbench.chassis.delivery import Delivery
from synthbench.collector.adapters.events import EventStore
from synthbench.collector.adapters.finalising import FinalisingStore
from synthbench.collector.adapters.steps import StepStore
from synthbench.collector.domain.soundness import sound, sound_json
from synthbench.collector.finaliser import Finaliser, IncompleteAttempts
from synthbench.collector.handlers import CollectorHandlers
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import AttemptClosed, StepRecorded
from synthbench.contracts.ids import uuid7
from synthbench.contracts.registry import Service, durable
from synthbench.contracts.steps import Action, ChangedPath, ModelCall, State, Step
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database

STEPS = durable(Service.COLLECTOR, "step.recorded")


@pytest.fixture
def handlers(database: Database) -> CollectorHandlers:
    return handlers_of(database)


def handlers_of(database: Database) -> CollectorHandlers:
    events = EventStore(database, cast("Any", None))
    return CollectorHandlers(events, StepStore(database), IncompleteAttempts())


def delivered(bodies: Sequence[StepRecorded]) -> list[Delivery[StepRecorded]]:
    return [Delivery(Envelope(body, "test"), STEPS, cast("Any", None), body.to_json()) for body in bodies]


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query)).fetchall()  # pyright: ignore[reportArgumentType, reportCallIssue] - our own text


async def kept(database: Database) -> list[tuple[UUID, int, int]]:
    found = await rows(database, "select rollout_id, attempt, index from steps order by 1, 2, 3")
    return [(row["rollout_id"], row["attempt"], row["index"]) for row in found]


async def aside(database: Database) -> list[str]:
    return [row["reason"] for row in await rows(database, "select reason from steps_aside order by index, digest")]


def forged(body: StepRecorded, message: str, *, sealed: bool) -> StepRecorded:
    step = body.step.model_copy(update={"action": Action(message=message)})
    return body.model_copy(update={"step": step.sealed() if sealed else step})


async def test_a_batch_is_written_and_reads_back(handlers: CollectorHandlers, database: Database):
    bodies = list(steps_of(uuid7(), 20, content="ü \x00 \ud7ff \\ \t end"))
    await handlers.on_steps(delivered(bodies[::-1]))
    found = await rows(database, "select body, digest, submission_id from steps order by index")
    assert [Step.model_validate_json(row["body"]) for row in found] == [body.step for body in bodies]
    assert [row["digest"] for row in found] == [body.step.digest for body in bodies]
    assert {row["submission_id"] for row in found} == {bodies[0].submission_id}
    assert await aside(database) == []


async def test_what_comes_again_changes_nothing(handlers: CollectorHandlers, database: Database):
    bodies = list(steps_of(uuid7(), 5))
    await handlers.on_steps(delivered([*bodies[:3], *bodies[:3]]))
    await handlers.on_steps(delivered([*bodies, bodies[0]]))
    assert len(await kept(database)) == 5
    assert await aside(database) == []


async def test_another_content_under_the_same_index_is_kept_aside(handlers: CollectorHandlers, database: Database):
    bodies = list(steps_of(uuid7(), 3))
    other = forged(bodies[1], "something else", sealed=True)
    await handlers.on_steps(delivered([*bodies, other]))
    await handlers.on_steps(delivered([forged(bodies[2], "later", sealed=True)]))
    found = await rows(database, "select digest from steps order by index")
    assert [row["digest"] for row in found] == [body.step.digest for body in bodies]
    said = await aside(database)
    assert len(said) == 2
    assert said[0] == f"another content is there already: {bodies[1].step.digest}"


async def test_a_step_that_is_not_what_its_digest_says_is_kept_aside(handlers: CollectorHandlers, database: Database):
    bodies = list(steps_of(uuid7(), 2))
    await handlers.on_steps(delivered([bodies[0], forged(bodies[1], "changed on the way", sealed=False)]))
    assert len(await kept(database)) == 1
    assert await aside(database) == ["the content does not match its digest"]


async def test_after_its_attempt_was_stored_a_new_step_is_kept_aside(handlers: CollectorHandlers, database: Database):
    rollout = uuid7()
    bodies = list(steps_of(rollout, 3))
    await handlers.on_steps(delivered(bodies[:2]))
    async with database.connection() as connection:
        await connection.execute("update attempts set state = 'stored' where rollout_id = %s", [rollout])
    again = [*bodies, forged(bodies[0], "another", sealed=True)]
    await handlers.on_steps(delivered(again))
    assert len(await kept(database)) == 2
    said = await aside(database)
    assert sorted(said) == [
        f"another content is there already: {bodies[0].step.digest}",
        "it came after the attempt was closed and stored",
    ]


async def test_a_step_of_an_attempt_that_nobody_announced_waits_for_it(handlers: CollectorHandlers, database: Database):
    (body,) = steps_of(uuid7(), 1, attempt=7)
    await handlers.on_steps(delivered([body]))
    assert await kept(database) == [(body.rollout_id, 7, 0)]
    assert await aside(database) == []


@pytest.mark.parametrize("announced", [True, False])
async def test_a_step_that_is_being_written_is_waited_for(
    announced: bool, handlers: CollectorHandlers, database: Database, store: FilesStore
):
    (body,) = steps_of(uuid7(), 1)
    if announced:
        await close(database, body)
    settings = CollectorSettings(journal_after_seconds=0)
    table = FinalisingStore(database, cast("Any", None))
    finaliser = Finaliser(settings, table, store, IncompleteAttempts(), structlog.get_logger())
    async with database.connection() as others:
        await others.execute("lock table steps in share row exclusive mode")  # nobody writes, anybody may read
        writing = asyncio.create_task(handlers.on_steps(delivered([body])))
        await until_waiting(database)
        closing = None if announced else asyncio.create_task(close(database, body))
        await until_waiting(database, 1 if announced else 2)
        assert await finaliser.sweep() == 0
    await writing
    if closing:
        await closing
    assert await finaliser.sweep() == 1
    assert await rows(database, "select steps from trajectories") == [{"steps": 1}]
    assert await aside(database) == []


async def close(database: Database, body: StepRecorded) -> None:
    """Close the attempt of a step as lost: without a report."""
    golden = json.loads((Path(__file__).parents[3] / "proto" / "golden" / "attempt.closed.full.json").read_text())
    closed = AttemptClosed.model_validate({**golden, "report": None, "counted": False, "outcome": "infra_error"})
    scope = {"rollout_id": body.rollout_id, "attempt": body.attempt, "submission_id": body.submission_id}
    closed = closed.model_copy(update={**scope, "last": True})
    await EventStore(database, cast("Any", None)).keep_closed(closed)


async def until_waiting(database: Database, count: int = 1) -> None:
    query = "select count(*) as n from pg_locks where not granted"
    async with asyncio.timeout(10):
        while (await rows(database, query))[0]["n"] < count:
            await asyncio.sleep(0.01)


async def test_fifty_megabytes_in_one_step(handlers: CollectorHandlers, database: Database):
    (body,) = steps_of(uuid7(), 1, content="0123456789abcdef" * (50 * 1024 * 64))
    await handlers.on_steps(delivered([body]))
    (row,) = await rows(database, "select length(body) as length from steps")
    assert row["length"] > 50 * 1024 * 1024
    assert await aside(database) == []


async def test_replicas_that_get_the_same_in_other_orders_do_not_block_each_other(dsn: SecretStr, database: Database):
    bodies = [body for _ in range(20) for body in steps_of(uuid7(), 10)]
    replicas = [handlers_of(database) for _ in range(4)]
    turned = [bodies, bodies[::-1], bodies[100:] + bodies[:100], bodies[::2] + bodies[1::2]]
    async with asyncio.timeout(30):
        await asyncio.gather(*(one.on_steps(delivered(mine)) for one, mine in zip(replicas, turned, strict=True)))
    assert len(await kept(database)) == 200
    assert await aside(database) == []


def test_soundness_of_what_was_sent_is_that_of_the_record():
    (body,) = steps_of(uuid7(), 1, content="ü\x00é 1e22")
    step = body.step.model_copy(
        update={
            "model_call": ModelCall(model="m", base='{"t": 1e22}'),
            "reward_parts": {"x": 1e22, "y": 0.1 + 0.2},
            "state": State(changed=[ChangedPath(path="a", kind="added")]),
        }
    ).sealed()
    whole = body.model_copy(update={"step": step})
    for payload in (whole.to_json(), whole.model_dump_json(exclude_defaults=True).encode(), b"{}", b"[]", b"no JSON"):
        text = sound_json(step, payload)
        assert text
        assert Step.model_validate_json(text) == step
    other = step.model_copy(update={"reward": 1.0})
    assert not sound(other)
    assert sound_json(other, body.model_copy(update={"step": other}).to_json()) is None
