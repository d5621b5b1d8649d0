"""A data folder of an earlier version, and clients that come and go: nothing that waits is lost."""

import asyncio
import base64
from pathlib import Path
from typing import TYPE_CHECKING

import nats as nats_py
import pytest
from nats.js import JetStreamContext, api

from synthbench.chassis import undeclared
from synthbench.chassis.dead import list_dead
from synthbench.chassis.errors import TopologyError
from synthbench.chassis.permissions import nats_accounts
from synthbench.chassis.process import Chassis
from synthbench.chassis.pull import bind
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.registry import Durable, Service, Stream, durable, durables
from synthbench.embedded.nats import EmbeddedNats

if TYPE_CHECKING:
    from bus_fixtures import OpenService

OLD_DURABLES = {
    "EVENTS": {"scheduler-task-submitted": "task.submitted", "scheduler-cancel-requested": "cancel.requested"},
    "TASKS": {"executor-verification-requested": "verification.requested"},
}
CLIENTS_SUBMISSIONS = durable(Service.SCHEDULER, "task.submitted", sender="client")


async def earlier_version(js: JetStreamContext) -> None:
    """Streams and durables as they were when every client was one user of the services' account."""
    events = ["task.submitted", "task.accepted", "task.rejected", "cancel.requested", "attempt.started"]
    events += ["attempt.finished", "attempt.closed", "verification.finished", "trajectory.done", "trajectory.scored"]
    events += ["trajectory.curated", "budget.exhausted"]
    streams = {"EVENTS": ("interest", events), "TASKS": ("workqueue", ["task.ready.>", "verification.requested"])}
    for name, (retention, subjects) in streams.items():
        await js.add_stream(api.StreamConfig(name=name, subjects=subjects, retention=api.RetentionPolicy(retention)))
        for consumer, subject in OLD_DURABLES[name].items():
            config = api.ConsumerConfig(
                durable_name=consumer, filter_subject=subject, ack_policy=api.AckPolicy.EXPLICIT, max_deliver=-1
            )
            await js.add_consumer(name, config)


async def waiting(js: JetStreamContext, one: Durable) -> list[bytes]:
    """What waits for a durable; it is taken."""
    subscription = await bind(js, one)
    try:
        messages = await subscription.fetch(100, timeout=0.5)
    except TimeoutError:
        return []
    for message in messages:
        await message.ack_sync()
    return [message.data for message in messages]


@pytest.fixture
async def js(own_nats: EmbeddedNats, open_service: "OpenService") -> JetStreamContext:
    """Of a server without streams."""
    return (await open_service(own_nats.url)).bus.js


async def test_what_waited_in_an_earlier_version_is_the_one_clients_and_its_consumers_go(js: JetStreamContext):
    await earlier_version(js)
    bodies = {
        "task.submitted": [b'{"task": "a"}', b"not json"],
        "cancel.requested": [b'{"campaign": "c"}'],
        "verification.requested": [b'{"pool": "docker", "requested_by": "quality"}'],
    }
    for subject, payloads in bodies.items():
        for payload in payloads:
            await js.publish(subject, payload, headers={"ce-id": "x", "Nats-Msg-Id": subject + payload.decode()})
    await js.publish("attempt.closed", b"{}")
    report = await ensure_topology(js)
    assert sorted(report.removed) == [
        "consumer executor-verification-requested of TASKS",
        "consumer scheduler-cancel-requested of EVENTS",
        "consumer scheduler-task-submitted of EVENTS",
    ]
    assert await waiting(js, CLIENTS_SUBMISSIONS) == bodies["task.submitted"]
    cancels = durable(Service.SCHEDULER, "cancel.requested", sender="client")
    assert await waiting(js, cancels) == bodies["cancel.requested"]
    asked = durable(Service.EXECUTOR, "verification.requested", "docker", "client")
    assert await waiting(js, asked) == bodies["verification.requested"]
    for one in durables():
        await js.consumer_info(one.stream, one.name)
    again = await ensure_topology(js)
    assert (again.created, again.updated, again.removed) == ([], [], [])


async def test_what_has_no_place_any_more_is_a_dead_letter(own_chassis: Chassis):
    js = own_chassis.bus.js
    config = api.ConsumerConfig(
        durable_name="quality-attempt-closed", filter_subject="attempt.closed", ack_policy=api.AckPolicy.EXPLICIT
    )
    await js.add_consumer(Stream.EVENTS, config)
    await js.publish("attempt.closed", b'{"a": 1}', headers={"ce-id": "kept"})
    report = await ensure_topology(js)
    assert report.removed == ["consumer quality-attempt-closed of EVENTS"]
    (kept,) = [one async for one in list_dead(own_chassis.bus)]
    assert (kept.letter.subject, kept.letter.headers) == ("attempt.closed", {"ce-id": "kept"})
    assert base64.b64decode(kept.letter.payload) == b'{"a": 1}'
    assert kept.letter.error == "consumer quality-attempt-closed is declared no more"


async def test_a_client_that_may_submit_no_more_takes_its_stream_along(own_chassis: Chassis):
    js = own_chassis.bus.js
    await ensure_topology(js, clients=("client", "guest"))
    await js.publish("task.submitted.guest", b'{"task": "t"}')
    report = await ensure_topology(js)
    assert "stream CLIENT-guest" in report.removed
    assert {info.config.name for info in await js.streams_info()} == {
        "TASKS", "STEPS", "EVENTS", "DEAD", "CLIENT-operator", "CLIENT-client",
    }  # fmt: skip
    (kept,) = [one async for one in list_dead(own_chassis.bus)]
    assert kept.letter.subject == "task.submitted.guest"


async def test_consumers_of_somebody_else_stay(own_chassis: Chassis):
    js = own_chassis.bus.js
    await js.add_consumer(Stream.EVENTS, api.ConsumerConfig(durable_name="external", ack_policy=api.AckPolicy.EXPLICIT))
    await js.publish("attempt.closed", b"{}")
    assert (await ensure_topology(js)).removed == []
    assert (await js.consumer_info(Stream.EVENTS, "external")).num_pending == 1


async def test_what_a_living_process_has_in_hand_is_not_taken_from_it(
    own_chassis: Chassis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(undeclared, "_DRAIN_SECONDS", 2.0)
    js = own_chassis.bus.js
    await ensure_topology(js, clients=("client", "guest"))
    guests = durable(Service.SCHEDULER, "task.submitted", sender="guest")
    await js.publish("task.submitted.guest", b'{"task": "t"}')
    (message,) = await (await bind(js, guests)).fetch(1, timeout=1)

    async def at_work() -> None:
        while True:
            await message.in_progress()
            await asyncio.sleep(0.2)

    working = asyncio.create_task(at_work())
    with pytest.raises(TopologyError, match="messages of it are in the hands of a process of an earlier version"):
        await ensure_topology(js)
    await js.consumer_info(guests.stream, guests.name)
    working.cancel()
    assert "stream CLIENT-guest" in (await ensure_topology(js)).removed


async def test_what_a_killed_process_had_in_hand_is_moved(js: JetStreamContext):
    await earlier_version(js)
    await js.publish("task.submitted", b'{"task": "t"}')
    old = Durable("scheduler-task-submitted", "EVENTS", "task.submitted", Service.SCHEDULER, CLIENTS_SUBMISSIONS.event)
    await (await bind(js, old)).fetch(1, timeout=1)
    await ensure_topology(js)
    assert await waiting(js, CLIENTS_SUBMISSIONS) == [b'{"task": "t"}']


async def test_streams_of_a_server_without_accounts_become_the_services_own(tmp_path: Path):
    before = EmbeddedNats(tmp_path / "data", tmp_path / "log")
    await before.start()
    connection = await nats_py.connect(before.url)
    await earlier_version(connection.jetstream())
    await connection.jetstream().publish("task.submitted", b'{"task": "t"}')
    await connection.close()
    await before.stop()
    server = EmbeddedNats(
        tmp_path / "data", tmp_path / "log", nats_accounts({Service.TOPOLOGY: "secret"}, {"client": "other"})
    )
    for _ in range(2):
        await server.start()
        connection = await nats_py.connect(server.url, user="topology", password="secret")
        js = connection.jetstream()
        await ensure_topology(js)
        assert (await js.consumer_info(CLIENTS_SUBMISSIONS.stream, CLIENTS_SUBMISSIONS.name)).num_pending == 1
        await connection.close()
        await server.stop()
