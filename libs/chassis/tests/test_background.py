"""Background work goes on, whatever a round of it raises."""

import asyncio
from collections.abc import Callable

import psycopg
import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from synthbench.chassis import background
from synthbench.chassis.background import keep_running
from synthbench.chassis.errors import Transient


def failures(name: str) -> float:
    return REGISTRY.get_sample_value("synthbench_background_failures_total", {"task": name}) or 0.0


async def run_rounds(name: str, work: Callable[[int], None], rounds: int) -> None:
    """Let a task run until it was called so many times; the call's number is given, from 1."""
    stop = asyncio.Event()
    called = 0

    async def one() -> None:
        nonlocal called
        called += 1
        if called == rounds:
            stop.set()
        work(called)

    async with asyncio.timeout(10):
        await keep_running(name, one, every=0.001, stop=stop, log=structlog.get_logger())
    assert called == rounds


@pytest.mark.parametrize(
    "error",
    [
        ValueError("odd"),
        RecursionError("deep"),
        OSError("disk"),
        MemoryError(),
        UnicodeEncodeError("utf-8", "x", 0, 1, ""),
    ],
)
async def test_any_failure_of_a_round_is_logged_and_counted_and_the_next_round_comes(
    error: Exception, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.01)

    def fail_twice(call: int) -> None:
        if call < 3:
            raise error

    before = failures("sweeper")
    with capture_logs() as said:
        await run_rounds("sweeper", fail_twice, 4)
    assert failures("sweeper") == before + 2
    assert [(line["event"], line["task"], line["log_level"]) for line in said] == [
        ("background task failed", "sweeper", "error")
    ] * 2


@pytest.mark.parametrize("error", [Transient("no database"), psycopg.OperationalError("gone")])
async def test_an_outage_is_a_warning_of_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.01)

    def fail_once(call: int) -> None:
        if call == 1:
            raise error

    with capture_logs() as said:
        await run_rounds("relay", fail_once, 2)
    assert [(line["event"], line["log_level"]) for line in said] == [("background task waits", "warning")]
    assert "exc_info" not in said[0]


async def test_rounds_that_go_on_failing_come_later_and_later(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(background, "_LONGEST_PAUSE_SECONDS", 0.04)

    def fail(_call: int) -> None:
        raise ValueError

    with capture_logs() as said:
        await run_rounds("reaper", fail, 5)
    assert [line["again_in_seconds"] for line in said] == [0.01, 0.02, 0.04, 0.04, 0.04]


async def test_a_cancellation_ends_it():
    task = asyncio.create_task(
        keep_running("x", lambda: asyncio.sleep(60), every=0, stop=asyncio.Event(), log=structlog.get_logger())
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
