"""A stack under fire, and the judge of what became of it."""

import asyncio
import contextlib
import hashlib
import json
import threading
import time
from collections import defaultdict
from pathlib import Path

import httpx
import nats
import psycopg
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import Error as JetStreamError

SCHEMAS = ("scheduler", "catalogue", "ledger", "quality", "diversity")
TASKS = ("simple-task-001", "stock-report-002", "ttl-cache-004")


class Counter:
    """An external consumer over nats-py alone: at which positions of the streams did each ce-id stand?"""

    def __init__(self, stack) -> None:
        self.url = stack.endpoints().nats_url
        self.password = (stack.folder / "secrets" / "nats-topology").read_text()
        self.seen: dict[tuple[str, str], set[int]] = defaultdict(set)
        self.contents: dict[tuple[str, str], set[bytes]] = defaultdict(set)
        self.subjects: dict[tuple[str, str], str] = {}
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
                        name = (stream, headers.get("ce-id", "none"))
                        self.seen[name].add(message.metadata.sequence.stream)
                        self.subjects[name] = message.subject
                        self.contents[name].add(hashlib.sha256(message.data).digest())
                        await message.ack()
                    await subscription.unsubscribe()
                except (NatsError, JetStreamError, TimeoutError, OSError):
                    await asyncio.sleep(0.05)
        with contextlib.suppress(OSError):  # its server may have just been killed
            await client.close()

    def doubled(self) -> list[str]:
        return [
            f"{stream} {name}: {sorted(places)}"
            for (stream, name), places in self.seen.items()
            if len(places) > 1 and name != "none"
        ]

    def changed(self) -> list[str]:
        """Ids under which two different things were said: never, whatever is killed."""
        return [
            f"{stream} {name} {self.subjects.get((stream, name), '')}"
            for (stream, name), said in self.contents.items()
            if len(said) > 1 and name != "none"
        ]

    def forget_places(self) -> None:
        """The bus itself was killed: it forgets which ids it has seen, and what it may have lost goes out again.

        From then on, who listens knows an event by its id; new places are counted from here.
        """
        self.seen = defaultdict(set, {name: set[int]() for name in self.seen})

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
        rows = self.rows(query)
        return rows[0][0] if rows else 0

    def rows(self, query: str) -> list[tuple]:
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.database() as connection:
                    return connection.execute(query).fetchall()  # pyright: ignore[reportArgumentType, reportCallIssue] - our own text
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.1)

    def submit(self, samples: int) -> None:
        self.publish([{"task": task, "route": "sim/expert", "samples": samples} for task in TASKS])

    def publish(self, submissions: list[dict]) -> None:
        """Published by core NATS with a reply, until the bus says that it has it."""

        async def publish() -> None:
            client = await nats.connect(self.counter.url, user="topology", password=self.counter.password)
            for submission in submissions:
                body = {"seed": self.submitted, **submission}
                await client.jetstream().publish("task.submitted", json.dumps(body).encode())
                self.submitted += 1
            await client.close()

        asyncio.run(publish())

    def hurry(self, ack_wait: float = 12.0) -> None:
        """What a killed process had in hand comes again after so many seconds, not after the 30 or 60 of the product.

        Longer than the pause between two signs of life of a handler. Every `up` sets the product's own again.
        """

        async def shorten() -> None:
            client = await nats.connect(self.counter.url, user="topology", password=self.counter.password)
            js = client.jetstream()
            for stream in ("TASKS", "STEPS", "EVENTS"):
                for one in await js.consumers_info(stream):
                    await js.add_consumer(stream, one.config.evolve(ack_wait=ack_wait))
            await client.close()

        asyncio.run(shorten())

    def open_attempts(self) -> int:
        return self.one("select count(*) from scheduler.attempts where closed_at is null")

    def until_in_flight(self, wanted: int) -> None:
        wait(lambda: self.open_attempts() >= wanted, 60, f"{wanted} attempts in flight")

    def until_done(self) -> None:
        query = "select count(*) from scheduler.submissions where state not in ('rejected', 'open')"
        wait(lambda: self.one(query) == self.submitted, 200, "everything submitted has come to an end")

    def pids(self, service: str) -> list[int]:
        processes = self.stack.status()["processes"]
        return [pid for name, pid in processes.items() if name.removesuffix("-2") == service]

    def judge(self, *, bus_was_killed: bool = False, settled: bool = True) -> None:
        """Everything is as it should be, however it came to be.

        Until all is `settled`, a message that a killed process had in hand must come again: that may take a minute.
        """
        self.until_done()
        settle = ["--settled"] if settled else []
        audited = self.stack.run("audit", *settle, "--wait", "60", "--json", check=False, timeout=150)
        findings = json.loads(audited.stdout)
        broken = {one["invariant"]: one["culprits"] for one in findings if not one["held"]}
        assert broken == {}, json.dumps(broken, indent=1) + self.stack.last_words()[-3000:]
        assert len(findings) >= (30 if settled else 25)
        assert self.one("select count(*) from scheduler.rollouts where state <> 'curated'") == 0
        wait(lambda: self.published() <= self.counter.names(), 30, "every event of every outbox was seen outside")
        changed = self.counter.changed()
        assert changed == [], changed
        if bus_was_killed:
            self.counter.forget_places()
        assert self.counter.doubled() == []

    def published(self) -> set[str]:
        with self.database() as connection:
            return {
                str(row[0])
                for schema in SCHEMAS
                for row in connection.execute(
                    f"select id from {schema}.outbox where stream <> 'TASKS'"  # pyright: ignore[reportArgumentType] - our own names
                ).fetchall()
            }


def wait(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)
