"""Who may say what: a server with the generated accounts, and the whole registry against it, subject by subject."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import nats as nats_py
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js.errors import APIError
from pydantic import SecretStr
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture

from synthbench.chassis.bus import Bus
from synthbench.chassis.consumer import Consumer
from synthbench.chassis.dead import list_dead, resend_dead
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import BusUnavailable, Poison
from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.permissions import CLIENT_CONNECTIONS, allowed, client_requests, nats_accounts
from synthbench.chassis.process import Chassis
from synthbench.chassis.pull import bind
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.model import Record
from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.registry import (
    EVENTS,
    Service,
    arrives_as,
    client_stream,
    durable,
    durables,
    durables_of,
)
from synthbench.contracts.rpc import (
    ANNOUNCE,
    CLAIM,
    HEARTBEAT,
    OUTBOX_OWNERS,
    RELEASE,
    ClaimReply,
    ClaimRequest,
    republish_subject,
)
from synthbench.contracts.streams import CLIENT_PENDING, DEAD_LETTERS, streams
from synthbench.embedded.nats import EmbeddedNats
from synthbench.storage.artifacts import FilesStore

if TYPE_CHECKING:
    from bus_fixtures import OpenService, Watch

CLIENTS = ("alice", "mallory")
SERVICES = [service for service in Service if service not in (Service.TOPOLOGY, Service.CLIENT)]
SUBMITTED = durable(Service.SCHEDULER, "task.submitted", sender="alice")
STREAM_VERBS = ("INFO", "CREATE", "UPDATE", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE")
CONSUMER_VERBS = ("INFO", "MSG.NEXT", "CREATE", "DURABLE.CREATE", "DELETE", "PAUSE", "LEADER.STEPDOWN", "UNPIN")
RPC = {CLAIM, HEARTBEAT, RELEASE, ANNOUNCE}
REPUBLISH = {service: republish_subject(service) for service in OUTBOX_OWNERS}


def password(user: str) -> str:
    return f'pass "word" of {user}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[EmbeddedNats]:
    """With a user for each service, and an account for each client."""
    folder = tmp_path_factory.mktemp("nats")
    users = {service: password(service) for service in Service if service is not Service.CLIENT}
    accounts = nats_accounts(users, {name: password(name) for name in CLIENTS})
    server = EmbeddedNats(folder / "data", folder / "nats.log", accounts)
    await server.start()
    yield server
    await server.stop()


class Door:
    """Connections of services and clients, and what the server refused them."""

    def __init__(self, url: str, log: BoundLogger) -> None:
        self._url, self._log = url, log
        self._buses: dict[Service, Bus] = {}
        self._connections: dict[str, Client] = {}
        self.refused: dict[str, list[str]] = {}

    async def bus(self, service: Service) -> Bus:
        if service not in self._buses:
            secret = SecretStr(password(service))
            self._buses[service] = await Bus.connect(service, self._url, service, secret, self._log, patience=5)
        return self._buses[service]

    async def connection(self, user: str) -> Client:
        """As anybody may connect who has a password, with any NATS library."""
        if user not in self._connections:
            told = self.refused[user] = []

            async def on_error(error: Exception) -> None:
                told.append(str(error).lower())

            self._connections[user] = await nats_py.connect(
                self._url, user=user, password=password(user), error_cb=on_error, max_reconnect_attempts=1
            )
        return self._connections[user]

    async def publishes(self, user: str, subjects: Iterable[str], *, reply: str = "") -> set[str]:
        """Publish on all of these; return those that the server let pass."""
        connection = await self.connection(user)
        self.refused[user].clear()
        wanted = [*subjects]
        for subject in wanted:
            await connection.publish(subject, b"{}", reply=reply)
        return await self._passed(user, "publish", wanted)

    async def listens(self, user: str, subjects: Iterable[str]) -> set[str]:
        """Subscribe to all of these; return those that the server let pass."""
        connection = await self.connection(user)
        self.refused[user].clear()
        wanted = [*subjects]
        subscriptions = [await connection.subscribe(subject) for subject in wanted]
        passed = await self._passed(user, "subscription", wanted)
        for one in subscriptions:
            await one.unsubscribe()
        return passed

    async def _passed(self, user: str, what: str, wanted: Iterable[str]) -> set[str]:
        for _ in range(2):  # nats-py's ping may overtake what it has buffered; the second one cannot
            await (await self.connection(user)).flush()
        told = self.refused[user]
        assert all("permissions violation" in line for line in told), told
        return {subject for subject in wanted if not any(f'{what} to "{subject.lower()}"' in line for line in told)}

    async def stored(self) -> dict[str, int]:
        """How many messages each stream ever stored."""
        js = (await self.bus(Service.TOPOLOGY)).js
        return {spec.name: (await js.stream_info(spec.name)).state.last_seq for spec in streams(CLIENTS)}

    async def close(self) -> None:
        for bus in self._buses.values():
            await bus.close()
        for connection in self._connections.values():
            await connection.close()


@pytest.fixture
async def door(nats: EmbeddedNats, log: BoundLogger) -> AsyncGenerator[Door]:
    made = Door(nats.url, log)
    operator = await made.bus(Service.TOPOLOGY)
    await ensure_topology(operator.js, clients=CLIENTS)
    for spec in streams(CLIENTS):
        await operator.js.purge_stream(spec.name)
    yield made
    await made.close()


def everything() -> set[str]:
    """Every subject of the system: events under whichever name, requests, the server's API, acknowledgements."""
    senders = (*Service, *CLIENTS)
    events = {subject for spec in EVENTS for subject in spec.subjects()}
    events |= {arrives_as(subject, sender) for spec in EVENTS if spec.named for subject in spec.subjects()
               for sender in senders}  # fmt: skip
    api = {f"$JS.API.STREAM.{verb}.{spec.name}" for spec in streams(CLIENTS) for verb in STREAM_VERBS}
    for one in durables(CLIENTS):
        name = f"{one.stream}.{one.name}"
        api |= {f"$JS.API.CONSUMER.{verb}.{name}" for verb in CONSUMER_VERBS}
        api |= {f"$JS.ACK.{name}.1.1.1.1.0", one.dead_subject}
    inboxes = {f"_INBOX.{name}.1" for name in senders}
    requests = RPC | set(REPUBLISH.values())
    return events | api | inboxes | requests | {"$JS.API.INFO", "$SYS.REQ.SERVER.PING", "$JS.FC.x", "anything.else"}


def passes(patterns: Iterable[str], subject: str) -> bool:
    """Whether NATS takes the subject for one of the patterns; ours end in `>`, if they have a wildcard at all."""
    return any(one == subject or (one[-1] == ">" and subject.startswith(one[:-1])) for one in patterns)


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_publishes_what_the_registry_gives_it_and_not_one_subject_more(door: Door, service: Service):
    produced = {one for spec in EVENTS if service in spec.producers and not spec.named for one in spec.subjects()}
    if service is Service.QUALITY:
        produced |= {f"verification.requested.{pool}.quality" for pool in ("bubblewrap", "docker", "process")}
    if service is Service.SCHEDULER:
        produced |= {"task.rejected", "task.rejected.alice", "task.rejected.mallory"}
    if service is Service.EXECUTOR:
        produced |= RPC
    for one in durables(CLIENTS):
        if one.service is service:
            name = f"{one.stream}.{one.name}"
            produced |= {f"$JS.API.CONSUMER.INFO.{name}", f"$JS.API.CONSUMER.MSG.NEXT.{name}"}
            produced |= {f"$JS.ACK.{name}.1.1.1.1.0", one.dead_subject}
    assert await door.publishes(service, everything()) == produced
    assert produced == {subject for subject in everything() if passes(allowed(service, CLIENTS)[0], subject)}


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_listens_to_its_own_inbox_and_requests_alone(door: Door, service: Service):
    wanted = {*everything(), ">", "_INBOX.>", "$JS.>", "dead.>", "task.>", "*.*", f"_INBOX.{service}.>"}
    mine = {f"_INBOX.{service}.>", f"_INBOX.{service}.1"}
    mine |= {REPUBLISH[service]} if service in REPUBLISH else set()
    assert await door.listens(service, wanted) == mine | (RPC if service is Service.SCHEDULER else set())


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_client_publishes_its_requests_and_nothing_else(door: Door, client: str):
    before = await door.stored()
    assert await door.publishes(client, everything()) == set(client_requests())
    after = await door.stored()
    mine = client_stream(client)
    assert after == {**before, mine: before[mine] + len(client_requests())}


async def test_a_client_hears_events_and_its_own_answers(door: Door):
    events = {one for spec in EVENTS if not spec.named for one in spec.subjects()} | {"task.rejected"}
    wanted = {*everything(), ">", "$JS.>", "$SYS.>", "dead.>", "task.>", "_INBOX.>", "_R_.>"}
    inboxes = {subject for subject in wanted if subject.startswith("_INBOX.")}
    assert await door.listens("alice", wanted) == events | inboxes
    operator = await door.bus(Service.TOPOLOGY)
    heard: list[tuple[str, bytes]] = []
    alice = await door.connection("alice")

    async def on_message(message: Msg) -> None:
        heard.append((message.subject, message.data))

    for subject in (*events, "_INBOX.>"):
        await alice.subscribe(subject, cb=on_message)
    await alice.flush()
    for subject in ("attempt.closed", "task.rejected.alice", "task.rejected.mallory", "task.rejected", "_INBOX.a.1"):
        await operator.nc.publish(subject, subject.encode())
    await operator.nc.flush()
    async with asyncio.timeout(10):
        while len(heard) < 2:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)  # for what must not come
    assert sorted(heard) == [("attempt.closed", b"attempt.closed"), ("task.rejected", b"task.rejected.alice")]


@pytest.mark.parametrize("request_subject", client_requests())
async def test_no_reply_subject_of_a_client_reaches_anything_of_ours(door: Door, request_subject: str):
    """Acknowledgements, and refusals of a full stream, go where the sender says: in its own account."""
    operator = await door.bus(Service.TOPOLOGY)
    seen: list[str] = []

    async def on_message(message: Msg) -> None:
        seen.append(message.subject)

    before = await door.stored()
    js = operator.js
    consumers = {spec.name: {one.name for one in await js.consumers_info(spec.name)} for spec in streams(CLIENTS)}
    subscription = await operator.nc.subscribe(">", cb=on_message)
    await operator.nc.flush()
    mallory = await door.connection("mallory")
    replies = sorted(everything())
    for reply in replies:
        await mallory.publish(request_subject, b"{}", reply=reply)
    await mallory.publish("$JS.API.STREAM.PURGE.EVENTS", b"", reply="attempt.closed")
    for _ in range(2):
        await mallory.flush()
        await operator.nc.flush()
    await subscription.unsubscribe()
    after = await door.stored()
    assert {name for name in after if after[name] != before[name]} == {"CLIENT-mallory"}
    acknowledged = [one for one in replies if not one.startswith("$JS.ACK.")]  # the server drops what names such a one
    assert after["CLIENT-mallory"] >= before["CLIENT-mallory"] + len(acknowledged)
    requests = {arrives_as(one, "mallory") for one in client_requests()}  # an acknowledgement may be one, in her name
    ours = ("_R_.", "_INBOX.topology.")
    assert arrives_as(request_subject, "mallory") in seen
    assert {one for one in seen if not one.startswith(ours)} <= requests
    for spec in streams(CLIENTS):
        assert {one.name for one in await js.consumers_info(spec.name)} == consumers[spec.name]


async def test_the_server_traces_a_message_to_no_subject_of_ours(door: Door):
    """`Nats-Trace-Dest` names where the server reports the way of a message."""
    before = await door.stored()
    mallory = await door.connection("mallory")
    for target in sorted(everything()):
        await mallory.publish("task.submitted", b"{}", headers={"Nats-Trace-Dest": target})
    for _ in range(2):
        await mallory.flush()
    after = await door.stored()
    assert {name for name in after if after[name] != before[name]} == {"CLIENT-mallory"}


async def test_a_message_id_that_a_client_used_is_free_for_everybody_else(door: Door):
    taken = str(uuid7())
    mallory, alice = [await door.connection(name) for name in ("mallory", "alice")]
    headers = {"Nats-Msg-Id": taken}
    for subject in client_requests():
        await mallory.jetstream().publish(subject, b"{}", headers=headers)
    ack = await alice.jetstream().publish("task.submitted", b"{}", headers=headers)
    assert (ack.stream, bool(ack.duplicate)) == ("CLIENT-alice", False)
    operator = await door.bus(Service.TOPOLOGY)
    for subject in ("attempt.closed", "step.recorded", "task.ready.docker.high", "dead.EVENTS.x", "task.submitted"):
        ack = await operator.js.publish(subject, b"{}", headers=headers)
        assert not ack.duplicate, subject


@pytest.mark.parametrize(
    "headers",
    [{"Nats-Rollup": "all"}, {"Nats-Rollup": "sub"}, {"Nats-TTL": "1s"}, {"Nats-Expected-Stream": "EVENTS"},
     {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "attempt.closed"},
     {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"}],
)  # fmt: skip
async def test_no_header_of_a_client_does_more_than_store_its_message(door: Door, headers: dict[str, str]):
    alice, mallory = [await door.connection(name) for name in ("alice", "mallory")]
    await alice.jetstream().publish("task.submitted", b"{}")
    before = await door.stored()
    with pytest.raises(APIError):
        await mallory.jetstream().publish("task.submitted", b"{}", headers=headers)
    assert await door.stored() == before
    operator = await door.bus(Service.TOPOLOGY)
    assert (await operator.js.stream_info("CLIENT-alice")).state.messages == 1


async def test_a_client_has_no_jetstream_and_sees_no_answers_of_ours(door: Door):
    mallory = await door.connection("mallory")
    for subject in ("$JS.API.INFO", "$JS.API.STREAM.INFO.EVENTS", CLAIM):
        with pytest.raises((TimeoutError, NoRespondersError)):
            await mallory.request(subject, b"", timeout=0.3)


async def test_what_one_client_leaves_pending_is_limited_by_pool_and_refused_with_that_reason(door: Door):
    """1,100 requests for a pool that nobody serves starve nobody; a flood is refused, and nobody else's is."""
    mallory, alice = [await door.connection(name) for name in ("mallory", "alice")]
    for _ in range(CLIENT_PENDING):
        await mallory.publish("verification.requested.process", b"{}")
    for _ in range(2):
        await mallory.flush()
    with pytest.raises(APIError, match="maximum messages per subject exceeded"):
        await mallory.jetstream().publish("verification.requested.process", b"{}")
    for sender, subject in ((mallory, "verification.requested.docker"), (alice, "verification.requested.process")):
        await sender.jetstream().publish(subject, b"{}")
    quality = await door.bus(Service.QUALITY)
    await quality.js.publish("verification.requested.process.quality", b"{}")
    executor = await door.bus(Service.EXECUTOR)
    for one in durables_of(Service.EXECUTOR, "verification.requested", CLIENTS):
        if one.subject in ("verification.requested.process.quality", "verification.requested.process.alice"):
            (message,) = await (await bind(executor.js, one)).fetch(1, timeout=3)
            await message.ack_sync()


async def test_one_client_does_not_take_the_connections_of_all(door: Door, nats: EmbeddedNats):
    async def quiet(_error: Exception) -> None:
        """Refusals come as exceptions."""

    async def connected(user: str) -> Client:
        client = Client()
        try:
            await client.connect(nats.url, user=user, password=password(user), error_cb=quiet, allow_reconnect=False)
        except NatsError:
            await client.close()  # the library leaves the socket of a refused connection open
            raise
        return client

    opened = [await connected("mallory") for _ in range(CLIENT_CONNECTIONS)]
    try:
        with pytest.raises(NatsError, match="maximum account active connections exceeded"):
            await connected("mallory")
        opened.append(await connected("alice"))
    finally:
        for one in opened:
            await one.close()


async def test_each_service_fetches_and_acknowledges_its_own_durables(door: Door, logs: LogCapture):
    operator = await door.bus(Service.TOPOLOGY)
    for subject in sorted({one.subject for one in durables(CLIENTS)}):
        await operator.js.publish(subject, b"{}")
    for one in durables(CLIENTS):
        bus = await door.bus(one.service)
        await bus.js.consumer_info(one.stream, one.name)
        (message,) = await (await bind(bus.js, one)).fetch(1, timeout=3)
        await message.ack_sync()
    assert logs.entries == []
    for spec in streams(CLIENTS):
        assert (await operator.js.stream_info(spec.name)).state.messages == 0, spec.name


async def test_a_service_can_bury_and_the_operator_resends_under_the_same_sender(
    door: Door, nats: EmbeddedNats, open_service: "OpenService", watch: "Watch"
):
    scheduler = await open_as(open_service, nats, Service.SCHEDULER)
    seen: list[Delivery] = []

    async def handler(one: Delivery[TaskSubmitted]) -> None:
        seen.append(one)
        if len(seen) == 1:
            raise Poison("bad")

    Consumer(scheduler, SUBMITTED, handler).start()
    await (await door.connection("alice")).publish("task.submitted", b'{"task": "t"}')
    operator = await door.bus(Service.TOPOLOGY)
    (kept,) = await watch.letters(operator)
    assert json.loads(base64.b64decode(kept.letter.payload)) == {"task": "t"}
    await resend_dead(operator, kept.sequence)
    await watch.until(lambda: len(seen) == 2)
    assert [one.sender for one in seen] == ["alice", "alice"]
    assert [one async for one in list_dead(operator)] == []


async def test_broken_messages_of_a_client_do_not_fill_the_dead_letters_of_all(
    door: Door, nats: EmbeddedNats, open_service: "OpenService", watch: "Watch", tmp_path: Path
):
    scheduler = await open_as(open_service, nats, Service.SCHEDULER)
    store = FilesStore(tmp_path)
    scheduler.bus.use_payload_store(store)
    Consumer(scheduler, SUBMITTED, handler=_unreached).start()
    broken = b'{"task": ' + b"x" * 200_000
    headers = {"ce-type": "y" * 20_000, **{f"h{number}": "z" * 1000 for number in range(30)}}
    await (await door.connection("alice")).publish("task.submitted", broken, headers=headers)
    operator = await door.bus(Service.TOPOLOGY)
    (kept,) = await watch.letters(operator)
    assert len(kept.letter.to_json()) < 8000
    reference = ArtifactRef.model_validate_json(base64.b64decode(kept.letter.payload))
    assert await store.get(reference.uri) == broken
    dead = (await door.bus(Service.SCHEDULER)).nc
    for _ in range(DEAD_LETTERS):
        await dead.publish(SUBMITTED.dead_subject, b"{}")
    await dead.flush()
    with pytest.raises(APIError, match="maximum messages per subject exceeded"):
        await dead.jetstream().publish(SUBMITTED.dead_subject, b"{}")
    await dead.jetstream().publish(durable(Service.SCHEDULER, "attempt.finished").dead_subject, b"{}")


async def _unreached(_delivery: Delivery) -> None:
    raise AssertionError("it is no event")


async def test_event_subscribers_hear_every_client_and_the_operator_side_by_side(
    door: Door, nats: EmbeddedNats, open_service: "OpenService", logs: LogCapture, watch: "Watch"
):
    """One whose messages take long does not keep the others waiting."""
    scheduler = await open_as(open_service, nats, Service.SCHEDULER)
    seen: list[str] = []

    async def handler(one: Delivery[TaskSubmitted]) -> None:
        seen.append(one.sender)
        await asyncio.sleep(3 if one.sender == "mallory" else 0)

    subscribers = EventSubscribers(scheduler)
    subscribers.on(TaskSubmitted, handler)
    await subscribers.start()
    mallory = await door.connection("mallory")
    for _ in range(5):
        await mallory.publish("task.submitted", b'{"task": "slow"}')
    await mallory.flush()
    await watch.until(lambda: seen == ["mallory"])
    await (await door.connection("alice")).publish("task.submitted", b'{"task": "t"}')
    await (await door.bus(Service.TOPOLOGY)).publish(TaskSubmitted(task="t"))
    await watch.until(lambda: {"alice", "operator"} < set(seen), 2.5)
    assert [entry for entry in logs.entries if "error" in entry] == []


async def open_as(open_service: "OpenService", nats: EmbeddedNats, service: Service) -> Chassis:
    return await open_service(
        nats.url, service, nats_user=str(service), nats_password=SecretStr(password(service)), clients=",".join(CLIENTS)
    )


async def test_the_executor_asks_and_the_scheduler_alone_answers(door: Door):
    async def answer(_request: ClaimRequest) -> Record:
        return ClaimReply(status="gone")

    await (await door.bus(Service.SCHEDULER)).respond(CLAIM, ClaimRequest, answer)
    asked = ClaimRequest(rollout_id=uuid7(), executor="e", pool="bubblewrap")
    executor = await door.bus(Service.EXECUTOR)
    assert (await executor.request(CLAIM, asked, ClaimReply)).status == "gone"
    quality = await door.bus(Service.QUALITY)
    with pytest.raises(BusUnavailable):
        await quality.request(CLAIM, asked, ClaimReply, timeout=0.3)


async def test_a_wrong_password_is_one_line_with_the_mend(nats: EmbeddedNats, log: BoundLogger):
    with pytest.raises(BusUnavailable, match="refuses user 'quality'; set SYNTHBENCH_NATS_USER and") as refused:
        await Bus.connect(Service.QUALITY, nats.url, "quality", SecretStr("wrong-one"), log, patience=10)
    assert "wrong-one" not in str(refused.value)
    with pytest.raises(BusUnavailable, match="no bus at"):
        await Bus.connect(Service.QUALITY, nats.url, "", SecretStr(""), log, patience=10)
