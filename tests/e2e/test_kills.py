"""Kill -9 anything at any point: nothing is lost, nothing is doubled, nothing is left behind.

Two replicas of every service, attempts in flight. After the kills the auditor looks at everything, and a consumer of
our own counts every event. `make test-kills` tries each way by itself, with at least 20 attempts in flight; CI tries a
point of each kind of process one after the other, then each process and the supervisor, with fewer attempts, and does
not wait as long as the product until what a killed process had comes again.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fire import SCHEMAS, Counter, Field, wait
from remains import left_behind

pytestmark = [pytest.mark.alone, pytest.mark.timeout(280)]

FULL = os.environ.get("FULL") == "1"
LEASE, SAMPLES, IN_FLIGHT = (5, 8, 20) if FULL else (3, 4, 8)
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
OF_EACH_PROCESS = [
    "executor.journalled", "executor.second_verification", "scheduler.after_grant", "gateway.settled",
    "collector.stored", "quality.decided", "diversity.decided", "outbox.scheduler.published",
]  # fmt: skip
PROCESSES = ["scheduler", "executor", "llm_gateway", "collector", "quality", "diversity", "nats", "postgres"]
WITH_THE_BUS = {"nats", "supervisor"}
TOGETHER = [[*OF_EACH_PROCESS, "a frozen executor", "a drained executor"], [*PROCESSES, "supervisor"]]
ALONE = [[way] for way in (*POINTS, *PROCESSES, "a frozen executor", "supervisor", "a drained executor")]


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


def at_point(field: Field, point: str) -> None:
    """Whoever comes by there next dies."""
    (field.failpoints / point).touch()
    deadline = time.monotonic() + 90
    while (field.failpoints / point).exists():
        assert time.monotonic() < deadline, f"nobody came by {point}"
        if field.open_attempts() < 6:  # there must be somebody to come by
            field.submit(samples=2)
        time.sleep(0.1)


def busy_executor(field: Field) -> int:
    """The process of one that has attempts in hand, though others may have just been killed."""
    holders = "select executor from scheduler.attempts where closed_at is null group by 1 order by count(*) desc"
    deadline = time.monotonic() + 60
    while True:
        if field.open_attempts() < IN_FLIGHT:
            field.submit(samples=SAMPLES)
            field.until_in_flight(IN_FLIGHT)
        for (name,) in field.rows(holders):
            if (pid := int(name.rpartition("-")[2])) in field.pids("executor"):
                return pid
        assert time.monotonic() < deadline, "no executor that lives has an attempt in hand"
        time.sleep(0.1)


def freeze(field: Field) -> None:
    """An executor stands still for longer than its lease."""
    frozen = busy_executor(field)
    os.kill(frozen, signal.SIGSTOP)
    lost = f"select count(*) from scheduler.attempts where reason like '%was silent%' and executor like '%-{frozen}'"
    wait(lambda: field.one(lost) > 0, LEASE * 6, "the attempts of an executor that stands still are lost")
    os.kill(frozen, signal.SIGCONT)


def kill_supervisor(field: Field) -> None:
    """The supervisor itself, and with it everything; then a new start."""
    os.kill(field.stack.status()["supervisor"], signal.SIGKILL)
    field.counter.stop()
    time.sleep(1)
    field.stack.run("up", "--replicas", "2")
    before = field.counter
    field.counter = Counter(field.stack)
    field.counter.seen, field.counter.contents = before.seen, before.contents
    if not FULL:
        field.hurry()


def attack(field: Field, way: str) -> None:
    if way == "a frozen executor":
        freeze(field)
    elif way == "a drained executor":
        os.kill(busy_executor(field), signal.SIGTERM)
    elif way == "supervisor":
        kill_supervisor(field)
    elif way in PROCESSES:
        os.kill(field.pids(way)[0], signal.SIGKILL)
        time.sleep(1.0)
    else:
        at_point(field, way)


@pytest.mark.parametrize("ways", ALONE if FULL else TOGETHER, ids=lambda ways: ways[0])
def test_nothing_is_lost_doubled_or_left_behind(field: Field, ways: list[str]):
    field.submit(samples=SAMPLES)
    field.until_in_flight(IN_FLIGHT)
    for way in ways:
        attack(field, way)
    field.judge(bus_was_killed=bool(WITH_THE_BUS.intersection(ways)))
    if "a drained executor" in ways:
        released = "select count(*) from scheduler.attempts where released and closed_at is not null"
        assert field.one(released) > 0
        assert field.one("select count(*) from scheduler.attempts where released and counted") == 0
