"""Kill -9 anything at any point: nothing is lost, nothing is doubled, nothing is left behind.

Two replicas of every service, at least 20 attempts in flight. After each kill the auditor looks at everything, and a
consumer of our own counts every event. `make test-kills` runs each point by itself; CI arms every third one, one
after the other in one run, and does not wait as long as the product until what a killed process had comes again.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fire import SCHEMAS, Counter, Field
from remains import left_behind

pytestmark = [pytest.mark.alone, pytest.mark.timeout(280)]

FULL = os.environ.get("FULL") == "1"
LEASE = 5
POINTS = [
    "executor.fetched", "executor.claimed", "executor.mid_tool", "executor.journalled", "executor.published",
    "executor.reported", "executor.mid_verification", "executor.second_verification",
    "executor.answered_verification",
    "scheduler.after_grant",
    "gateway.admitted", "gateway.answered", "gateway.settled",
    "collector.steps", "collector.stored", "collector.recorded",
    "quality.decided", "diversity.decided",
    *(f"outbox.{schema}.{when}" for schema in SCHEMAS for when in ("before", "published")),
]  # fmt: skip
PROCESSES = ["scheduler", "executor", "llm_gateway", "collector", "quality", "diversity", "nats", "postgres"]


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
    if not FULL:
        made.hurry()
    yield made
    made.counter.stop()
    made.http.close()
    stack.down()
    assert left_behind(stack.folder) == []


@pytest.mark.parametrize("points", [[p] for p in POINTS] if FULL else [POINTS[::3]], ids=lambda points: points[0])
def test_killed_at(field: Field, points: list[str]):
    field.submit(samples=8)
    field.until_in_flight()
    for point in points:
        (field.failpoints / point).touch()
        deadline = time.monotonic() + 90
        while (field.failpoints / point).exists():
            assert time.monotonic() < deadline, f"nobody came by {point}"
            if field.open_attempts() < 6:  # there must be somebody to come by
                field.submit(samples=2)
            time.sleep(0.1)
    field.judge()


@pytest.mark.parametrize("services", [[p] for p in PROCESSES] if FULL else [PROCESSES], ids="-".join)
def test_killed_by_process(field: Field, services: list[str]):
    field.submit(samples=8)
    field.until_in_flight()
    for service in services:
        os.kill(field.pids(service)[0], signal.SIGKILL)
        time.sleep(1.0)
    field.judge(bus_was_killed="nats" in services)


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
    before = field.counter
    field.counter = Counter(field.stack)
    field.counter.seen, field.counter.contents = before.seen, before.contents
    if not FULL:
        field.hurry()
    field.judge(bus_was_killed=True)


def test_a_drained_executor_gives_its_attempts_back(field: Field):
    field.submit(samples=8)
    field.until_in_flight()
    os.kill(field.pids("executor")[0], signal.SIGTERM)
    field.judge()
    released = "select count(*) from scheduler.attempts where released and closed_at is not null"
    assert field.one(released) > 0
    assert field.one("select count(*) from scheduler.attempts where released and counted") == 0
