"""Collectors as they run in production: a process each, on one Postgres and one NATS, fed as executors do."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import nats
import psycopg
from nats.aio.client import Client

from synthbench.chassis.topology import run_topology
from synthbench.contracts.cloudevents import Envelope, encode
from synthbench.contracts.events import StepRecorded
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.journal import journal_event_id
from synthbench.contracts.steps import Action, Observation, Step, ToolCall
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.storage.migrations import migrate_all

_FLUSHED_EVERY = 500


def steps_of(rollout_id: UUID, count: int, *, attempt: int = 1, content: str = "") -> Iterator[StepRecorded]:
    """Steps of one attempt as an executor records them; 2 KB each unless they are to say something else."""
    now = datetime.now(UTC)
    for index in range(count):
        said = content or f"{index:04d} " + "what a command printed, line by line\n" * 28
        step = Step(
            index=index, started_at=now, finished_at=now,
            action=Action(message="Next.", tool_calls=[ToolCall(id=f"c{index}", name="bash", arguments="{}")]),
            observations=[Observation(tool_call_id=f"c{index}", content=said, exit_code=0)],
        ).sealed()  # fmt: skip
        yield StepRecorded(
            submission_id=derived_id("submission", rollout_id), campaign="c", rollout_id=rollout_id, attempt=attempt,
            step=step,
        )  # fmt: skip


@dataclass
class Servers:
    """NATS and Postgres, and the collectors on them."""

    folder: Path
    nats: EmbeddedNats
    postgres: EmbeddedPostgres
    collectors: list[Process] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return self.postgres.dsn.get_secret_value()

    def connect(self) -> "psycopg.Connection[Any]":
        """To the catalogue's schema."""
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5, options="-c search_path=catalogue")

    def count(self, query: str) -> int:
        """The only value of a query."""
        with self.connect() as connection:
            row = connection.execute(query).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue] - our own text
        assert row is not None
        return row[0]

    async def start_collector(self, **settings: str) -> Process:
        """One more replica; it works as soon as it is up."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
        number = len(self.collectors)
        environment = kept | {
            "SYNTHBENCH_NATS_URL": self.nats.url, "SYNTHBENCH_POSTGRES_DSN": self.dsn,
            "SYNTHBENCH_ARTIFACTS_URL": f"file://{self.folder / 'artifacts'}", "SYNTHBENCH_LOG_LEVEL": "WARNING",
            "SYNTHBENCH_NATS_SYNC_SECONDS": "1", **settings,
        }  # fmt: skip
        with (self.folder / f"collector-{number}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "synthbench.collector", env=environment, stdout=log, stderr=log
            )
        self.collectors.append(process)
        return process

    async def stop_collectors(self) -> None:
        """End them as an operator does."""
        running = [process for process in self.collectors if process.returncode is None]
        for process in running:
            process.terminate()
        await asyncio.gather(*(asyncio.wait_for(process.wait(), 40) for process in running))
        self.collectors.clear()

    async def until(self, query: str, wanted: int, seconds: float) -> float:
        """Wait until a query's value is reached; return when that was."""
        deadline = time.monotonic() + seconds
        with self.connect() as connection:
            while True:
                row = connection.execute(query).fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue] - our own text
                if row and row[0] >= wanted:
                    return time.monotonic()
                assert time.monotonic() < deadline, f"{row} of {wanted}: {query}\n{self.last_words()}"
                await asyncio.sleep(0.02)

    async def until_left(self, most: int, seconds: float) -> tuple[float, int]:
        """Wait until so many steps at most are in the stream, those in hand among them; return when, and how many."""
        client = await nats.connect(self.nats.url)
        js = client.jetstream()
        deadline = time.monotonic() + seconds
        try:
            while (left := (await js.stream_info("STEPS")).state.messages) > most:
                assert time.monotonic() < deadline, f"{left} left\n{self.last_words()}"
                await asyncio.sleep(0.01)
            return time.monotonic(), left
        finally:
            await client.close()

    def last_words(self) -> str:
        return "\n".join(path.read_text()[-1000:] for path in sorted(self.folder.glob("collector-*.log")))


@asynccontextmanager
async def servers(folder: Path, *, durable: bool = True) -> AsyncGenerator[Servers]:
    """Start both, with streams and tables; collectors that still run at the end are killed."""
    bus = EmbeddedNats(folder / "nats", folder / "nats.log")
    postgres = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", "secret-pass", durable=durable)
    made = Servers(folder, bus, postgres)
    try:
        await asyncio.gather(bus.start(), postgres.start())
        await asyncio.to_thread(migrate_all, postgres.dsn)
        await run_topology(bus.url, "", postgres.dsn)
        yield made
    finally:
        for process in made.collectors:
            if process.returncode is None:
                process.kill()
                await process.wait()
        await asyncio.gather(bus.stop(), postgres.stop())


async def publish(client: Client, recorded: Sequence[StepRecorded]) -> None:
    """Put events into the stream as fast as it takes them; the caller sees to it that they are there."""
    for number, body in enumerate(recorded):
        message = encode(Envelope(body, "bench", journal_event_id(body)))
        headers = {**message.headers, "Nats-Msg-Id": message.headers["ce-id"]}
        await client.publish(message.subject, message.payload, headers=headers)
        if number % _FLUSHED_EVERY == 0:
            await client.flush(30)
    await client.flush(30)


async def fill(bus: EmbeddedNats, attempts: int, steps: int) -> int:
    """Publish attempts of so many steps, and return how many are in the stream once it has taken them all."""
    client = await nats.connect(bus.url)
    js = client.jetstream()
    wanted = (await js.stream_info("STEPS")).state.last_seq + attempts * steps
    for _ in range(attempts):
        await publish(client, list(steps_of(uuid7(), steps)))
    deadline = time.monotonic() + 60
    while (state := (await js.stream_info("STEPS")).state).last_seq < wanted:
        assert time.monotonic() < deadline, state
        await asyncio.sleep(0.02)
    await client.close()
    return state.messages
