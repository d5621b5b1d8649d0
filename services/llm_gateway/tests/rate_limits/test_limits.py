"""Limits that replicas share: what enters within any window never passes them, in turn, whoever else calls."""

import asyncio
import itertools
import signal
from collections import Counter
from time import monotonic

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway_replicas import MESSAGES
from model_upstream import two_wires
from synthbench.chassis.background import keep_running
from synthbench.contracts.ids import uuid7
from synthbench.llm_gateway.domain.catalogue import RateLimitTable
from synthbench.llm_gateway.rate_limits.domain.permits import (
    ConcurrencySlots,
    Limit,
    PermitLease,
    PermitPool,
    in_turn,
    limits_of,
)
from synthbench.llm_gateway.rate_limits.limiter import TICK_SECONDS, RateLimiter
from synthbench.storage.database import Database
from synthbench.wire.refusal import Refusal

FRESH = 0.5
LOG = structlog.stdlib.get_logger("test")
RPM, TPM, SLOTS = Limit("requests/model/m", 10), Limit("tokens/model/m", 1000), Limit("concurrency/provider/p", 4)


def test_what_the_catalogue_names():
    said = RateLimitTable(rpm=10, concurrency=4)
    assert limits_of("model", "m", said) == (Limit("concurrency/model/m", 4), RPM)
    assert limits_of("provider", "p", RateLimitTable()) == limits_of("provider", "p", None) == ()
    assert [str(limit) for limit in (RPM, SLOTS)] == [
        "10 requests a minute of model m", "4 calls at once of provider p"
    ]  # fmt: skip
    assert TPM.need(5000) == 1000, "a call that is larger than the limit takes all of it"


def hand(**leases: int) -> PermitPool:
    """With fresh permits, and slots."""
    made = PermitPool()
    for name, amount in leases.items():
        limit = {"rpm": RPM, "tpm": TPM, "slots": SLOTS}[name]
        if limit.at_once:
            made.slots[limit.scope] = ConcurrencySlots(held=amount)
        else:
            made.leases[limit.scope] = [
                PermitLease(uuid7(), amount - amount // 2, 10.0),
                PermitLease(uuid7(), amount // 2, 10.0),
            ]
    return made


def test_unused_tokens_go_back_and_overdrawn_ones_are_counted():
    mine = hand(tpm=1000)
    first = mine.take({TPM: 800}, now=9.0)
    second = mine.take({TPM: 200}, now=9.0)
    assert mine.short({TPM: 1}, now=9.0) == [TPM]
    mine.leave(first, 100, {})
    assert sum(mine.corrections.values()) == 700
    mine.leave(second, 260, {})
    assert sum(mine.corrections.values()) == 640
    mine.leave(mine.take({}, 9.0), None, {})
    assert sum(mine.corrections.values()) == 640, "nobody knows: what it took stays taken"


def test_permits_that_are_not_fresh_are_worth_nothing_and_go_back():
    mine = hand(rpm=6)
    mine.take({RPM: 1}, now=9.0)
    assert mine.idle(RPM, now=10.0) == 0
    mine.tick(10.0)
    assert sum(mine.corrections.values()) == 5
    assert mine.leases[RPM.scope] == []


def test_who_holds_more_slots_than_its_share_leaves_them_to_others():
    mine = hand(slots=3)
    entered = [mine.take({SLOTS: 1}, 0.0) for _ in range(3)]
    mine.leave(entered[0], 0, {SLOTS.scope: 2})
    assert (mine.slots[SLOTS.scope].held, mine.idle(SLOTS, 0.0)) == (2, 0)
    mine.leave(entered[1], 0, {SLOTS.scope: 2})
    assert (mine.slots[SLOTS.scope].held, mine.idle(SLOTS, 0.0)) == (2, 1)
    mine.tick(0.0)
    mine.tick(0.0)
    assert mine.slots[SLOTS.scope].held == 1, "an idle one goes back"


@given(st.lists(st.sampled_from([{RPM: 1}, {RPM: 1, TPM: 400}, {TPM: 300}, {SLOTS: 1}]), max_size=8), st.integers(0, 3))
def test_nobody_overtakes_the_first_that_waits_for_a_limit(waiting: list[dict[Limit, int]], rpm: int):
    mine = hand(rpm=rpm, tpm=350, slots=1)
    place = in_turn(waiting, mine, 0.0)
    blocked: set[Limit] = set()
    for needs in waiting if place is None else waiting[:place]:
        if not blocked & needs.keys():
            assert mine.short(needs, 0.0), "it could have entered"
            blocked.update(mine.short(needs, 0.0))
    if place is not None:
        assert not mine.short(waiting[place], 0.0)
        assert not blocked & waiting[place].keys()


@pytest.fixture
async def two(migrated):
    """Two replicas' limits on one record, with a window of a second that is free again half a second later."""
    database = Database(migrated("ledger", "synthbench.llm_gateway"), "ledger")
    await database.open()
    made = [RateLimiter(database, LOG, lambda: 2, window_seconds=1.0, fresh_seconds=FRESH) for _ in range(2)]
    stop = asyncio.Event()
    living = [
        asyncio.create_task(keep_running("limits", one.tick, every=TICK_SECONDS, stop=stop, log=LOG)) for one in made
    ]
    yield made
    stop.set()
    await asyncio.gather(*living)
    for one in made:
        await one.close()
    async with database.connection() as connection:
        row = await (await connection.execute("select coalesce(sum(amount), 0)::int as held from permits where "
                                              "scope like 'concurrency/%'")).fetchone()  # fmt: skip
    assert row == {"held": 0}
    await database.close()


async def test_no_window_sees_more_than_the_limit_and_nobody_starves(two):
    entered: list[tuple[float, int]] = []

    async def one(number: int) -> None:
        for _ in range(4):
            await two[number % 2].enter((RPM,), 0, 30)
            entered.append((monotonic(), number % 2))

    began = monotonic()
    await asyncio.gather(*(one(number) for number in range(10)))
    assert len(entered) == 40
    times = [when for when, _ in entered]
    for first, last in zip(times, times[RPM.most :], strict=False):
        assert last - first > 1.0, "eleven calls within a window of ten"
    assert monotonic() - began < 4 * (1.0 + FRESH) + 4
    shares = Counter(replica for _, replica in entered[:30])
    assert min(shares.values()) >= 5, shares


async def test_never_more_at_once_and_both_replicas_have_their_turns(two):
    busy, most, turns = 0, 0, Counter[int]()
    until = monotonic() + 1.5

    async def one(number: int) -> None:
        nonlocal busy, most
        while monotonic() < until:
            entered = await two[number % 2].enter((SLOTS,), 0, 30)
            busy += 1
            most = max(most, busy)
            turns[number % 2] += 1
            await asyncio.sleep(0.01)
            busy -= 1
            two[number % 2].leave(entered, 0)

    await asyncio.gather(*(one(number) for number in range(24)))
    assert most <= SLOTS.most
    assert min(turns.values()) > sum(turns.values()) * 0.2, turns
    assert sum(turns.values()) > 60, "slots are used again at once"


async def test_a_call_that_waits_past_its_deadline_is_refused_with_retry_after(two):
    for _ in range(RPM.most):
        await two[0].enter((RPM,), 0, 5)
    began = monotonic()
    with pytest.raises(Refusal, match="10 requests a minute of model m") as caught:
        await two[1].enter((RPM, SLOTS), 0, 0.3)
    assert 0.2 < monotonic() - began < 2
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")
    assert caught.value.retry_after is not None
    assert 1.0 <= caught.value.retry_after <= 1.0 + FRESH
    waiting = asyncio.create_task(two[1].enter((RPM,), 0, 30))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not two[1]._queue


async def test_large_calls_are_not_overtaken_for_ever_by_small_ones(two):
    async def small() -> None:
        for _ in itertools.count():
            two[0].leave(await two[0].enter((TPM,), 50, 30), 50)

    crowd = [asyncio.create_task(small()) for _ in range(10)]
    await asyncio.sleep(0.2)
    began = monotonic()
    await two[0].enter((TPM,), 900, 30)
    assert monotonic() - began < 2 * (1.0 + FRESH) + 3
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


LIMITED = """
[models."chat/slow"]
prices = { input = 1.0, output = 10.0 }
rpm = 20

[models."chat/two"]
prices = { input = 1.0, output = 10.0 }
concurrency = 2

[routes.either]
strategy = "fallback"
models = ["chat/slow", "chat/two"]
"""


@pytest.mark.timeout(120)
async def test_two_gateways_keep_one_limit(start_replicas, upstream):
    async with start_replicas(2, two_wires(upstream.url, LIMITED)) as group:

        async def ask(number: int, model: str, seconds: float, wire: str = "openai"):
            path = "/v1/chat/completions" if wire == "openai" else "/v1/messages"
            return await group.client.post(
                f"{group.replicas[number % 2].url}{path}",
                json={"model": model, "messages": MESSAGES, "max_tokens": 100},
                headers={
                    "authorization": f"Bearer {group.key(model)}", "x-synthbench-deadline-seconds": str(seconds),
                },
            )  # fmt: skip

        answers = await asyncio.gather(
            *(ask(number, "chat/slow", 4, "openai" if number % 4 < 2 else "anthropic") for number in range(40))
        )
        assert Counter(answer.status_code for answer in answers) == {200: 20, 429: 20}
        assert len(upstream.seen) == 20
        for refused in (answer for answer in answers if answer.status_code == 429):
            assert 1 <= int(refused.headers["retry-after"]) <= 62
            assert float(refused.headers["x-synthbench-waited-seconds"]) > 3
            error = refused.json()["error"]
            assert "20 requests a minute of model chat/slow" in error["message"]
            assert error.get("code") == "rate_limited" or error["type"] == "rate_limit_error"

        fallen = await ask(0, "either", 10)
        assert (fallen.status_code, fallen.headers["x-synthbench-model"].startswith("two")) == (200, True)
        assert float(fallen.headers["x-synthbench-waited-seconds"]) > 0.4

        upstream.delay, upstream.seen = 0.3, []
        began = monotonic()
        asked = [asyncio.create_task(ask(number, "chat/two", 30)) for number in range(8)]
        answers = await asyncio.gather(*asked)
        assert {answer.status_code for answer in answers} == {200}
        assert monotonic() - began > 3 * 0.3, "two at a time"
        assert max(float(answer.headers["x-synthbench-waited-seconds"]) for answer in answers) > 0.5
        metrics = [(await group.client.get(f"{replica.url}/metrics")).text for replica in group.replicas]
        assert any('synthbench_llm_limited_total{limit="requests"}' in text for text in metrics)
        waited = await group.rows("select count(*)::int as calls from calls where waited > 0.5 and outcome = 'ok'")
        assert waited[0]["calls"] > 0

        group.replicas[0].send(signal.SIGKILL)  # whatever it held runs out
        assert (await ask(1, "chat/two", 30)).status_code == 200
