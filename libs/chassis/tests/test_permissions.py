"""Who may say what: a server with the generated users, and the whole table against it."""

import base64
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from pydantic import SecretStr
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture

from synthbench.chassis.bus import Bus
from synthbench.chassis.consumer import Consumer, bind
from synthbench.chassis.dead import list_dead, resend_dead
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import BusUnavailable, Poison
from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.permissions import nats_authorization
from synthbench.chassis.process import Chassis
from synthbench.chassis.topology import ensure_topology
from synthbench.cli.embedded.nats import EmbeddedNats
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.model import Record
from synthbench.contracts.registry import EVENTS, Service, Stream, durable, durables
from synthbench.contracts.rpc import CLAIM, HEARTBEAT, ClaimReply, ClaimRequest

if TYPE_CHECKING:
    from conftest import OpenService, Watch

SERVICES = [service for service in Service if service is not Service.TOPOLOGY]
SUBMITTED = durable(Service.SCHEDULER, "task.submitted")


def password(service: Service) -> str:
    return f'pass "word" of {service}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[EmbeddedNats]:
    """With a user for each service."""
    folder = tmp_path_factory.mktemp("nats")
    users = nats_authorization({service: password(service) for service in Service})
    server = EmbeddedNats(folder / "data", folder / "nats.log", users)
    await server.start()
    yield server
    await server.stop()


class Door:
    """Connections of services, and what the server refused them."""

    def __init__(self, url: str, log: BoundLogger, logs: LogCapture) -> None:
        self._url, self._log, self._logs = url, log, logs
        self._buses: dict[Service, Bus] = {}

    async def bus(self, service: Service) -> Bus:
        if service not in self._buses:
            secret = SecretStr(password(service))
            self._buses[service] = await Bus.connect(service, self._url, service, secret, self._log, patience=5)
        return self._buses[service]

    async def refuses_publish(self, service: Service, subject: str) -> bool:
        return await self._refused(service, f'Permissions Violation for Publish to "{subject}"', publish=subject)

    async def refuses_subscribe(self, service: Service, subject: str) -> bool:
        return await self._refused(service, f'Permissions Violation for Subscription to "{subject}"', listen=subject)

    async def _refused(self, service: Service, complaint: str, *, publish: str = "", listen: str = "") -> bool:
        bus = await self.bus(service)
        self._logs.entries.clear()
        if publish:
            await bus.nc.publish(publish, b"{}")
        else:
            subscription = await bus.nc.subscribe(listen)
            await bus.nc.flush()
            await subscription.unsubscribe()
        for _ in range(2):  # nats-py's ping may overtake what it has buffered; the second one cannot
            await bus.nc.flush()
        said = [str(entry.get("error", "")).lower() for entry in self._logs.entries]
        assert all("permissions violation" in line for line in said), said
        return any(complaint.lower() in line for line in said)

    async def close(self) -> None:
        for bus in self._buses.values():
            await bus.close()


@pytest.fixture
async def door(nats: EmbeddedNats, log: BoundLogger, logs: LogCapture) -> AsyncGenerator[Door]:
    made = Door(nats.url, log, logs)
    operator = await made.bus(Service.TOPOLOGY)
    await ensure_topology(operator.js)
    for stream in Stream:
        await operator.js.purge_stream(stream)
    yield made
    await made.close()


async def test_each_service_publishes_its_own_events_and_no_others(door: Door):
    subjects = {subject: spec.producers for spec in EVENTS for subject in spec.subjects}
    wrong = [
        (service, subject)
        for service in SERVICES
        for subject, producers in subjects.items()
        if await door.refuses_publish(service, subject) is (service in producers)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("service", "subject"),
    [
        (Service.EXECUTOR, "attempt.closed"),
        (Service.CLIENT, "trajectory.done"),
        (Service.QUALITY, "$JS.API.CONSUMER.CREATE.EVENTS.mine"),
        (Service.QUALITY, "$JS.API.CONSUMER.DURABLE.CREATE.EVENTS.mine"),
        (Service.QUALITY, "$JS.API.STREAM.DELETE.EVENTS"),
        (Service.QUALITY, "$JS.API.STREAM.PURGE.EVENTS"),
        (Service.QUALITY, "$JS.API.CONSUMER.DELETE.EVENTS.quality-trajectory-done"),
        (Service.QUALITY, "$JS.API.CONSUMER.MSG.NEXT.EVENTS.scheduler-task-submitted"),
        (Service.QUALITY, "$JS.ACK.EVENTS.scheduler-task-submitted.1.1.1.1.0"),
        (Service.QUALITY, "$JS.API.STREAM.MSG.GET.EVENTS"),
        (Service.QUALITY, "dead.EVENTS.scheduler-task-submitted"),
        (Service.QUALITY, CLAIM),
        (Service.CLIENT, CLAIM),
        (Service.CLIENT, "$JS.API.STREAM.MSG.DELETE.DEAD"),
        (Service.CLIENT, "$JS.API.STREAM.UPDATE.EVENTS"),
        (Service.CLIENT, "dead.EVENTS.scheduler-task-submitted"),
        (Service.LLM_GATEWAY, HEARTBEAT),
        (Service.COLLECTOR, "_INBOX.scheduler.forged"),
        (Service.EXECUTOR, "anything.else"),
    ],
)
async def test_nobody_says_what_is_not_theirs(door: Door, service: Service, subject: str):
    assert await door.refuses_publish(service, subject)


@pytest.mark.parametrize("subject", [">", "_INBOX.>", "_INBOX.{other}.>", "$JS.>", CLAIM, "attempt.closed", "dead.>"])
async def test_nobody_listens_to_others(door: Door, subject: str):
    for service in SERVICES:
        other = Service.EXECUTOR if service is not Service.EXECUTOR else Service.SCHEDULER
        wanted = subject.replace("{other}", other)
        allowed = (service is Service.SCHEDULER and subject == CLAIM) or (
            service is Service.CLIENT and subject in ("attempt.closed", "dead.>")
        )
        assert await door.refuses_subscribe(service, wanted) is not allowed, service


async def test_each_service_fetches_and_acknowledges_its_own_durables(door: Door, logs: LogCapture):
    operator = await door.bus(Service.TOPOLOGY)
    for subject in sorted({one.subject for one in durables()}):
        await operator.js.publish(subject, b"{}")
    for one in durables():
        bus = await door.bus(one.service)
        await bus.js.consumer_info(one.stream, one.name)
        (message,) = await (await bind(bus.js, one)).fetch(1, timeout=3)
        await message.ack_sync()
    assert logs.entries == []
    for stream in (Stream.TASKS, Stream.STEPS, Stream.EVENTS):
        assert (await operator.js.stream_info(stream)).state.messages == 0


async def test_a_service_can_bury_and_the_operator_resends(
    door: Door, nats: EmbeddedNats, open_service: "OpenService", watch: "Watch"
):
    scheduler = await open_as(open_service, nats, Service.SCHEDULER)
    seen: list[Delivery] = []

    async def handler(one: Delivery) -> None:
        seen.append(one)
        if len(seen) == 1:
            raise Poison("bad")

    Consumer(scheduler, SUBMITTED, handler).start()
    client = await door.bus(Service.CLIENT)
    await client.publish(TaskSubmitted(task="t"))
    (kept,) = await watch.letters(client)
    assert base64.b64decode(kept.letter.payload) == TaskSubmitted(task="t").to_json()
    await resend_dead(await door.bus(Service.TOPOLOGY), kept.sequence)
    await watch.until(lambda: len(seen) == 2)
    assert [one async for one in list_dead(client)] == []


async def test_event_subscribers_work_under_a_services_own_user(
    door: Door, nats: EmbeddedNats, open_service: "OpenService", logs: LogCapture, watch: "Watch"
):
    scheduler = await open_as(open_service, nats, Service.SCHEDULER)
    seen: list[Delivery] = []

    async def handler(one: Delivery) -> None:
        seen.append(one)

    subscribers = EventSubscribers(scheduler)
    subscribers.on("task.submitted", handler)
    await subscribers.start()
    await (await door.bus(Service.CLIENT)).publish(TaskSubmitted(task="t"))
    await watch.until(lambda: seen)
    await watch.settled(await door.bus(Service.TOPOLOGY), SUBMITTED)
    assert [entry for entry in logs.entries if "error" in entry] == []


async def open_as(open_service: "OpenService", nats: EmbeddedNats, service: Service) -> Chassis:
    return await open_service(nats.url, service, nats_user=str(service), nats_password=SecretStr(password(service)))


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
