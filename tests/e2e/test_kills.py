"""Kill -9 anything at any point: nothing is lost, nothing is doubled, nothing is left behind.

Two replicas of every service, at least 20 attempts in flight. After each kill the auditor looks at everything, and a
consumer of our own counts every event. `make test-kills` runs each point by itself; CI arms several in one run.
"""

import asyncio
import json
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
import nats
import psycopg
import pytest
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import Error as JetStreamError

pytestmark = [pytest.mark.alone, pytest.mark.timeout(280)]

FULL = os.environ.get("FULL") == "1"
IN_FLIGHT = 20
LEASE = 5
SCHEMAS = ("scheduler", "catalogue", "ledger", "quality", "diversity")
POINTS = [
    "executor.fetched", "executor.claimed", "executor.mid_tool", "executor.journalled", "executor.published",
    "executor.reported", "executor.mid_verification", "executor.second_verification",
    "scheduler.after_grant",
    "gateway.admitted", "gateway.answered", "gateway.settled",
    "collector.steps", "collector.stored", "collector.recorded",
    "quality.decided", "diversity.decided",
    *(f"outbox.{schema}.{when}" for schema in SCHEMAS for when in ("before", "published")),
]  # fmt: skip
PROCESSES = ["scheduler", "executor", "llm_gateway", "collector", "quality", "diversity", "nats", "postgres"]
TASKS = ("simple-task-001", "stock-report-002", "ttl-cache-004")


class Counter:
    """An external consumer over nats-py alone: at which positions of the streams did each ce-id stand?"""

    def __init__(self, stack) -> None:
        self.url = stack.endpoints().nats_url
        self.password = (stack.folder / "secrets" / "nats-topology").read_text()
        self.seen: dict[tuple[str, str], set[int]] = defaultdict(set)
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self) -> None:
        client = await nats.connect(
            self.url, user="topology", password=self.password, max_reconnect_attempts=-1, reconnect_time_wait=0.2,
            error_cb=quiet,
        )  # fmt: skip
        js = client.jetstream()
        for stream in ("EVENTS", "STEPS"):
            config = api.ConsumerConfig(durable_name=f"external-{stream}", ack_policy=api.AckPolicy.EXPLICIT)
            await js.add_consumer(stream, config)
        self._ready.set()
        while not self._stop.is_set():
            for stream in ("EVENTS", "STEPS"):
                try:
                    subscription = await js.pull_subscribe_bind(durable=f"external-{stream}", stream=stream)
                    for message in await subscription.fetch(200, timeout=0.2):
                        headers = message.headers or {}
                        self.seen[stream, headers.get("ce-id", "none")].add(message.metadata.sequence.stream)
                        await message.ack()
                    await subscription.unsubscribe()
                except (NatsError, JetStreamError, TimeoutError, OSError):
                    await asyncio.sleep(0.05)
        await client.close()

    def doubled(self) -> list[str]:
        return [
            f"{stream} {name}: {sorted(places)}"
            for (stream, name), places in self.seen.items()
            if len(places) > 1 and name != "none"
        ]

    def names(self) -> set[str]:
        return {name for _, name in self.seen}

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)


async def quiet(_error: Exception) -> None:
    """A server that is gone for a while is what this is about."""


class Field:
    """The stack under fire."""

    def __init__(self, stack, failpoints: Path) -> None:
        self.stack = stack
        self.failpoints = failpoints
        self.counter = Counter(stack)
        self.submitted = 0
        self.http = httpx.Client(timeout=5, trust_env=False)

    def database(self) -> psycopg.Connection:
        status = self.stack.status()
        password = (self.stack.folder / "secrets" / "postgres").read_text()
        return psycopg.connect(
            f"postgresql://synthbench:{password}@127.0.0.1:{status['postgres_port']}/postgres", connect_timeout=5
        )

    def one(self, query: str) -> int:
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.database() as connection:
                    row = connection.execute(query).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
                return row[0] if row else 0
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def submit(self, samples: int) -> None:
        """Published by core NATS with a reply, until the bus says that it has it."""

        async def publish() -> None:
            client = await nats.connect(self.counter.url, user="topology", password=self.counter.password)
            for task in TASKS:
                body = {"task": task, "route": "sim/expert", "samples": samples, "seed": self.submitted}
                await client.jetstream().publish("task.submitted", json.dumps(body).encode())
                self.submitted += 1
            await client.close()

        asyncio.run(publish())

    def open_attempts(self) -> int:
        return self.one("select count(*) from scheduler.attempts where closed_at is null")

    def until_in_flight(self, wanted: int = IN_FLIGHT) -> None:
        wait(lambda: self.open_attempts() >= wanted, 60, f"{wanted} attempts in flight")

    def until_done(self) -> None:
        query = "select count(*) from scheduler.submissions where state not in ('rejected', 'open')"
        wait(lambda: self.one(query) == self.submitted, 200, "everything submitted has come to an end")

    def pids(self, service: str) -> list[int]:
        processes = self.stack.status()["processes"]
        return [pid for name, pid in processes.items() if name.removesuffix("-2") == service]

    def judge(self) -> None:
        """Everything is as it should be, however it came to be."""
        self.until_done()
        audited = self.stack.run("audit", "--settled", "--wait", "60", "--json", check=False, timeout=150)
        findings = json.loads(audited.stdout)
        broken = {one["invariant"]: one["culprits"] for one in findings if not one["held"]}
        assert broken == {}, json.dumps(broken, indent=1) + self.stack.last_words()[-3000:]
        assert len(findings) >= 30
        assert self.one("select count(*) from scheduler.rollouts where state <> 'curated'") == 0
        wait(lambda: self.published() <= self.counter.names(), 30, "every event of every outbox was seen outside")
        assert self.counter.doubled() == []

    def published(self) -> set[str]:
        with self.database() as connection:
            return {
                str(row[0])
                for schema in SCHEMAS
                for row in connection.execute(
                    f"select id from {schema}.outbox where stream <> 'TASKS'"  # pyright: ignore[reportArgumentType]
                ).fetchall()
            }


def wait(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def field(data_folders: Path, make_stack) -> Iterator[Field]:
    failpoints = data_folders / "failpoints"
    failpoints.mkdir()
    stack = make_stack(
        data_folders / f"kills-{time.time_ns()}",
        SYNTHBENCH_FAILPOINTS=str(failpoints), SYNTHBENCH_LEASE_SECONDS=str(LEASE), SYNTHBENCH_PERMITS="12",
        SYNTHBENCH_READY_LIMIT="48", SYNTHBENCH_RETRY_PAUSE_SECONDS="0.2", SYNTHBENCH_MAX_ATTEMPTS="12",
        SYNTHBENCH_SIM_LATENCY_MS="150", SYNTHBENCH_GIVE_UP_SECONDS="10",
    )  # fmt: skip
    stack.run("up", "--replicas", "2")
    made = Field(stack, failpoints)
    yield made
    made.counter.stop()
    made.http.close()
    stack.down()
    assert left_behind(stack.folder) == []


def left_behind(folder: Path) -> list[str]:
    """Processes and mounts that still name the stack's folder."""
    found = [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder) in path.read_bytes().decode(errors="replace"):
                found.append(path.read_text())
        except OSError:
            continue
    return found


def groups(of: list[str], size: int) -> list[list[str]]:
    return [of[start::size] for start in range(size)]


@pytest.mark.parametrize("points", [[p] for p in POINTS] if FULL else groups(POINTS, 3), ids=lambda points: points[0])
def test_killed_at(field: Field, points: list[str]):
    field.submit(samples=9)
    field.until_in_flight()
    for point in points:
        (field.failpoints / point).touch()
        wait(lambda point=point: not (field.failpoints / point).exists(), 60, f"somebody came by {point}")
        if len(points) > 1:
            time.sleep(0.5)
    field.judge()
    assert field.one("select count(*) from scheduler.attempts where attempt > 1") > 0 or "executor" not in points[0]


@pytest.mark.parametrize("services", [[p] for p in PROCESSES] if FULL else groups(PROCESSES, 2), ids="-".join)
def test_killed_by_process(field: Field, services: list[str]):
    field.submit(samples=8)
    field.until_in_flight()
    for service in services:
        os.kill(field.pids(service)[0], signal.SIGKILL)
        time.sleep(1.5)
    field.judge()


def test_an_executor_that_stood_still_longer_than_its_lease(field: Field):
    before = field.one("select coalesce(max(attempt), 0) from scheduler.attempts")
    field.submit(samples=8)
    field.until_in_flight()
    frozen = field.pids("executor")[0]
    os.kill(frozen, signal.SIGSTOP)
    time.sleep(LEASE * 2)
    os.kill(frozen, signal.SIGCONT)
    field.judge()
    assert field.one("select count(*) from scheduler.attempts where reason like '%was silent for%'") > 0
    assert field.one("select max(attempt) from scheduler.attempts") >= before


def test_the_supervisor_itself(field: Field):
    field.submit(samples=8)
    field.until_in_flight()
    os.kill(field.stack.status()["supervisor"], signal.SIGKILL)
    field.counter.stop()
    time.sleep(1)
    field.stack.run("up", "--replicas", "2")
    seen = field.counter.seen
    field.counter = Counter(field.stack)
    field.counter.seen = seen
    field.judge()


def test_a_drained_executor_gives_its_attempts_back(field: Field):
    field.submit(samples=8)
    field.until_in_flight()
    os.kill(field.pids("executor")[0], signal.SIGTERM)
    field.judge()
    released = "select count(*) from scheduler.attempts where released and closed_at is not null"
    assert field.one(released) > 0
    assert field.one("select count(*) from scheduler.attempts where released and counted") == 0
