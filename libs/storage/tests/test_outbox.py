"""The outbox between a real Postgres and a real NATS: sent if committed, once, and in the end."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from prometheus_client import REGISTRY

from synthbench.chassis.process import Chassis
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.registry import Service, durable
from synthbench.contracts.rpc import RepublishReply, RepublishRequest, republish_subject
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage import outbox as relay
from synthbench.storage.database import Database
from synthbench.storage.errors import DatabaseUnavailable
from synthbench.storage.outbox import Outbox

if TYPE_CHECKING:
    from bus_fixtures import Watch

SUBMITTED = durable(Service.SCHEDULER, "task.submitted")


@pytest.fixture
async def database(postgres_server: EmbeddedPostgres) -> AsyncGenerator[Database]:
    """A fresh schema with an outbox, and a table of our own."""
    schema = f"s{uuid4().hex[:10]}"
    async with await psycopg.AsyncConnection.connect(
        postgres_server.dsn.get_secret_value(), autocommit=True
    ) as connection:
        await connection.execute(f"create schema {schema}".encode())
        await connection.execute(f"set search_path to {schema}".encode())
        await connection.execute(resources.files("synthbench.storage").joinpath("outbox.sql").read_bytes())
        await connection.execute("create table facts (name text primary key)")
    made = Database(postgres_server.dsn, schema)
    await made.open()
    yield made
    await made.close()


async def announce(outbox: Outbox, database: Database, name: str, *, fail: bool = False) -> None:
    async with database.connection() as connection:
        await connection.execute("insert into facts values (%s)", (name,))
        await outbox.add(connection, TaskSubmitted(task=name))
        if fail:
            raise LookupError(name)


async def unpublished(database: Database) -> int:
    async with database.connection() as connection:
        row = await (await connection.execute("select count(*) as n from outbox where published_at is null")).fetchone()
    assert row is not None
    return row["n"]


def published() -> float:
    return REGISTRY.get_sample_value("synthbench_published_total", {"event": "task.submitted"}) or 0.0


async def tasks_on_the_bus(chassis: Chassis, count: int) -> list[str]:
    subscription = await chassis.bus.js.pull_subscribe_bind(durable=SUBMITTED.name, stream=SUBMITTED.stream)
    return [
        TaskSubmitted.model_validate_json(message.data).task for message in await subscription.fetch(count, timeout=5)
    ]


async def test_what_is_rolled_back_is_never_sent(chassis: Chassis, database: Database, watch: "Watch"):
    outbox = Outbox(chassis, database)
    with pytest.raises(LookupError):
        await announce(outbox, database, "undone", fail=True)
    assert await outbox.publish_all() == 0
    assert await watch.kept(chassis.bus, SUBMITTED.stream) == 0


async def test_what_is_committed_is_sent_once_in_order(chassis: Chassis, database: Database, watch: "Watch"):
    outbox = Outbox(chassis, database)
    await outbox.start()
    for number in range(5):
        await announce(outbox, database, f"fact-{number}")
    await watch.eventually(lambda: tell(database))
    assert await tasks_on_the_bus(chassis, 5) == [f"fact-{number}" for number in range(5)]
    assert await outbox.publish_all() == 0
    assert await watch.last_sequence(chassis.bus, SUBMITTED.stream) >= 5


async def tell(database: Database) -> bool:
    return await unpublished(database) == 0


async def test_a_commit_wakes_the_relay(
    chassis: Chassis, database: Database, watch: "Watch", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(relay, "_POLL_SECONDS", 60.0)
    outbox = Outbox(chassis, database)
    await outbox.start()
    await asyncio.sleep(0.2)
    await announce(outbox, database, "now")
    await watch.eventually(lambda: tell(database), 3)


async def test_the_same_id_is_announced_once(chassis: Chassis, database: Database, watch: "Watch"):
    outbox = Outbox(chassis, database)
    event_id = uuid7()
    for _ in range(2):
        async with database.connection() as connection:
            assert await outbox.add(connection, TaskSubmitted(task="t"), id=event_id) == event_id
    assert await outbox.publish_all() == 1
    assert await watch.kept(chassis.bus, SUBMITTED.stream) == 1


async def test_what_an_earlier_process_left_goes_out_first(chassis: Chassis, database: Database, watch: "Watch"):
    await announce(Outbox(chassis, database), database, "left")
    await Outbox(chassis, database).start()
    await watch.eventually(lambda: tell(database))
    assert await tasks_on_the_bus(chassis, 1) == ["left"]


async def test_nats_may_be_away(
    own_chassis: Chassis, own_nats: EmbeddedNats, database: Database, watch: "Watch", monkeypatch: pytest.MonkeyPatch
):
    outbox = Outbox(own_chassis, database)
    await outbox.start()
    await own_nats.stop()
    await announce(outbox, database, "patient")
    await asyncio.sleep(0.7)  # the relay tries, and goes on trying
    assert await unpublished(database) == 1
    await own_nats.start()
    await watch.eventually(lambda: tell(database))
    assert await tasks_on_the_bus(own_chassis, 1) == ["patient"]
    assert await watch.last_sequence(own_chassis.bus, SUBMITTED.stream) == 1
    assert own_chassis.failure is None


async def test_postgres_may_drop_the_relays_connections(
    chassis: Chassis,
    database: Database,
    postgres_server: EmbeddedPostgres,
    watch: "Watch",
    monkeypatch: pytest.MonkeyPatch,
):
    outbox = Outbox(chassis, database)
    await outbox.start()
    await announce(outbox, database, "before")
    await watch.eventually(lambda: tell(database))
    async with await psycopg.AsyncConnection.connect(
        postgres_server.dsn.get_secret_value(), autocommit=True
    ) as connection:
        await connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
    for _ in range(10):  # the pool may hand out what has just been killed; services are told to try again, too
        with contextlib.suppress(DatabaseUnavailable):
            await announce(outbox, database, "after")
            break
    await watch.eventually(lambda: tell(database))
    assert await tasks_on_the_bus(chassis, 2) == ["before", "after"]
    assert chassis.failure is None


async def test_two_relays_send_each_row_once(chassis: Chassis, database: Database, watch: "Watch"):
    one, two = Outbox(chassis, database), Outbox(chassis, database)
    async with database.connection() as connection:
        for number in range(500):
            await one.add(connection, TaskSubmitted(task=f"fact-{number}"))
    before = published()
    counts = await asyncio.gather(one.publish_all(), two.publish_all(), one.publish_all())
    assert sum(counts) == 500
    assert published() - before == 500
    assert await watch.kept(chassis.bus, SUBMITTED.stream) == 500


async def test_an_operator_has_published_events_sent_again_in_batches(
    chassis: Chassis, database: Database, watch: "Watch"
):
    outbox = Outbox(chassis, database)
    await outbox.start()
    before = published()
    for name in ("a", "b", "c"):
        await announce(outbox, database, name)
    await watch.until(lambda: published() == before + 3)
    await watch.eventually(lambda: nothing_unpublished(database))
    moment = datetime.now(UTC)
    counts: list[int] = []
    for _ in range(3):
        request = RepublishRequest(before=moment, limit=2)
        reply = await chassis.bus.request(republish_subject(chassis.service), request, RepublishReply)
        counts.append(reply.events)
        await watch.eventually(lambda: nothing_unpublished(database))
    assert counts == [2, 1, 0]
    assert published() == before + 6


async def nothing_unpublished(database: Database) -> bool:
    return await unpublished(database) == 0


async def test_draining_flushes(chassis: Chassis, database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Outbox, "_listen", lambda _self: asyncio.sleep(3600))
    outbox = Outbox(chassis, database)
    await outbox.start()
    await announce(outbox, database, "last words")
    await chassis.drain()
    assert await unpublished(database) == 0


async def test_a_flush_keeps_its_time(own_chassis: Chassis, own_nats: EmbeddedNats, database: Database):
    outbox = Outbox(own_chassis, database)
    await announce(outbox, database, "too late")
    await own_nats.stop()
    async with asyncio.timeout(2):
        await outbox.flush(0.3)
    assert await unpublished(database) == 1
