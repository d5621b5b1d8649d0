"""Outages of what the services stand on cost time, and nothing else."""

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import nats
import pytest
from nats.js import api

from fire import Counter, Field

pytestmark = [pytest.mark.alone, pytest.mark.timeout(400)]

FULL = os.environ.get("FULL") == "1"
LEASE, GIVE_UP, POSTGRES_AWAY = (6, 10, 120) if FULL else (3, 5, 8)
SAMPLES, IN_FLIGHT = (4, 8) if FULL else (2, 6)


@pytest.fixture(scope="module")
def field(data_folders: Path, make_stack) -> Iterator[Field]:
    stack = make_stack(
        data_folders / f"outages-{time.time_ns()}", SYNTHBENCH_LEASE_SECONDS=str(LEASE), SYNTHBENCH_PERMITS="8",
        SYNTHBENCH_READY_LIMIT="24", SYNTHBENCH_RETRY_PAUSE_SECONDS="0.2", SYNTHBENCH_MAX_ATTEMPTS="20",
        SYNTHBENCH_SIM_LATENCY_MS="150", SYNTHBENCH_GIVE_UP_SECONDS=str(GIVE_UP),
    )  # fmt: skip
    stack.run("up")
    made = Field(stack, data_folders)
    yield made
    made.counter.stop()
    made.http.close()
    stack.down()


def test_postgres_is_away_in_the_middle_of_a_run(field: Field):
    field.submit(samples=SAMPLES)
    field.until_in_flight(IN_FLIGHT)
    group = os.getpgid(field.pids("postgres")[0])
    os.killpg(group, signal.SIGSTOP)
    time.sleep(POSTGRES_AWAY)
    os.killpg(group, signal.SIGCONT)
    field.judge()


def test_a_full_stream_stalls_its_publishers_and_loses_nothing(field: Field):
    async def limit(extra: int | None) -> None:
        client = await nats.connect(field.counter.url, user="topology", password=field.counter.password)
        js = client.jetstream()
        if extra is not None:  # somebody who listens, and never acknowledges
            await js.add_consumer("EVENTS", api.ConsumerConfig(durable_name="lazy", ack_policy=api.AckPolicy.EXPLICIT))
        else:
            await js.delete_consumer("EVENTS", "lazy")
        found = await js.stream_info("EVENTS")
        found.config.max_bytes = (1 << 30) if extra is None else found.state.bytes + extra
        await js.update_stream(found.config)
        await client.close()

    before = field.one("select count(*) from scheduler.rollouts where state = 'curated'")
    asyncio.run(limit(60_000))
    field.submit(samples=SAMPLES)
    deadline = time.monotonic() + 60
    while not (stalled := stalls(field)):
        assert time.monotonic() < deadline, "nobody noticed that the stream is full"
        time.sleep(0.2)
    time.sleep(LEASE)
    assert stalls(field) >= stalled
    assert field.one("select count(*) from scheduler.rollouts where state = 'curated'") < before + 12
    assert any("publish stalled" in path.read_text() for path in (field.stack.folder / "logs").glob("*.log"))
    asyncio.run(limit(None))
    field.judge()


def stalls(field: Field) -> float:
    """The metric on which an alert stands. A service that has only just been started does not tell yet."""
    total = 0.0
    for url in field.stack.status()["urls"].values():
        try:
            told = httpx.get(f"{url}/metrics", trust_env=False).text
        except httpx.ConnectError:
            continue
        for line in told.splitlines():
            if line.startswith("synthbench_publish_stalled_total{"):
                total += float(line.rpartition(" ")[2])
    return total


def test_a_lost_bus_is_made_again_from_postgres_and_the_journal(field: Field):
    field.submit(samples=SAMPLES)
    field.until_in_flight(IN_FLIGHT)
    field.counter.stop()
    os.kill(field.stack.status()["supervisor"], signal.SIGKILL)
    time.sleep(1)
    shutil.rmtree(field.stack.folder / "nats" / "jetstream")
    field.stack.run("up")
    done = field.stack.run("rebuild")
    assert "events go out again" in done.stderr
    # The new streams begin at 1: what the old ones held is a new place for an old id, so the count begins anew.
    field.counter = Counter(field.stack)
    field.until_done()
    audited = field.stack.run("audit", "--settled", "--wait", "60", timeout=120)
    assert "BROKEN" not in audited.stdout
