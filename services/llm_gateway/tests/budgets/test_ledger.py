"""Money and keys, on a real Postgres."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import jwt
import pytest
from pydantic import SecretStr

from synthbench.contracts.attempt_key import ALGORITHM, AUDIENCE, AttemptClaims
from synthbench.contracts.events import LlmCalled
from synthbench.contracts.ids import uuid7
from synthbench.contracts.records import Usage
from synthbench.contracts.registry import Service
from synthbench.llm_gateway.budgets import lease_broker
from synthbench.llm_gateway.budgets.domain.accounts import Caps
from synthbench.llm_gateway.budgets.ledger import Ledger
from synthbench.llm_gateway.budgets.open_attempts import TRUST_SECONDS
from synthbench.llm_gateway.domain.catalogue import Model, Price
from synthbench.llm_gateway.domain.pricing import Prices
from synthbench.llm_gateway.keys import AttemptKeys
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox
from synthbench.wire.refusal import Refusal
from synthbench.wire.usage import usage_of

SECRET = SecretStr("a-secret-of-at-least-thirty-two-bytes")


def claims(**changes: Any) -> AttemptClaims:
    given: dict[str, Any] = {
        "submission_id": uuid4(), "campaign": "c", "rollout_id": uuid4(), "attempt": 1, "route": "gpt",
        "task_digest": "sha256:" + "0" * 64, "max_cost_microusd": 1000, "submission_cost_microusd": 1000,
    }  # fmt: skip
    return AttemptClaims(**(given | changes))


@pytest.fixture
async def open_ledger(make_chassis, migrated):
    """Make as many replicas of the ledger as a test likes, on one record."""
    dsn = migrated("ledger", "synthbench.llm_gateway")
    database = Database(dsn, "ledger")
    await database.open()
    async with make_chassis(Service.LLM_GATEWAY) as chassis:
        yield lambda **more: Ledger(chassis, database, Outbox(chassis, database), Caps(), **more), database
    await database.close()


@pytest.fixture
async def ledger(open_ledger):
    make, database = open_ledger
    made = make()
    await made.start()
    yield made, database
    await made.close()


def called(key: AttemptClaims, call_id, cost: int) -> LlmCalled:
    return LlmCalled(
        submission_id=key.submission_id, campaign=key.campaign, rollout_id=key.rollout_id, attempt=key.attempt,
        call_id=call_id, route=key.route, provider="openai", model="gpt", outcome="ok", status=200,
        usage=Usage(calls=1, cost_microusd=cost), started_at=datetime.now(UTC),
    )  # fmt: skip


async def test_fifty_calls_at_once_never_pass_the_cap(ledger):
    book, database = ledger
    key = claims()
    refusals: set[tuple[int, str]] = set()

    async def call() -> bool:
        call_id = uuid7()
        try:
            reserved = await book.admit(key, call_id, 100)
        except Refusal as refusal:
            if refusal.code == "budget_tied_up":
                return await call()
            refusals.add((refusal.status, refusal.code))
            return False
        await asyncio.sleep(0.01)
        await book.settle(reserved, called(key, call_id, 90))
        return True

    made = sum(await asyncio.gather(*(call() for _ in range(50))))
    assert refusals == {(402, "cost_limit")}
    async with database.connection() as connection:
        row = await (
            await connection.execute("select sum(cost_microusd)::int as spent, count(*)::int as calls from calls")
        ).fetchone()
        accounts = await (await connection.execute("select scope, spent_microusd as spent from accounts")).fetchall()
    assert row == {"spent": 90 * made, "calls": made}
    assert 900 < row["spent"] <= 1000
    assert [account["spent"] for account in accounts] == [row["spent"]] * 5
    await book.close()
    async with database.connection() as connection:
        left = await (await connection.execute("select sum(leased_microusd)::int as left from accounts")).fetchone()
    assert left == {"left": 0}


async def test_the_submissions_cap_holds_over_its_attempts(ledger):
    book, _ = ledger
    submission = uuid4()
    keys = [claims(submission_id=submission, max_cost_microusd=800) for _ in range(3)]
    first = await book.admit(keys[0], call := uuid7(), 700)
    with pytest.raises(Refusal, match="set aside for calls on their way") as tied:
        await book.admit(keys[1], uuid7(), 700)
    assert (tied.value.status, tied.value.code) == (429, "budget_tied_up")
    await book.settle(first, called(keys[0], call, 400))
    with pytest.raises(Refusal, match="submission's cap") as used:
        await book.admit(keys[2], uuid7(), 700)
    assert (used.value.status, used.value.code) == (402, "cost_limit")


async def test_closed_and_older_attempts_are_refused(ledger):
    book, _ = ledger
    rollout = uuid4()
    first, second = (claims(rollout_id=rollout, attempt=number) for number in (1, 2))
    await book.admit(first, uuid7(), 0)
    await book.admit(second, uuid7(), 0)
    with pytest.raises(Refusal, match="a later one was begun"):
        await book.admit(first, uuid7(), 0)
    await book.close_attempt(rollout, 2)
    with pytest.raises(Refusal, match="attempt 2 is closed"):
        await book.admit(second, uuid7(), 0)
    await book.close_attempt(rollout, 1)  # an old word, late: it changes nothing
    await book.admit(claims(rollout_id=rollout, attempt=3), uuid7(), 0)


async def accounts_in(database: Database) -> dict[str, tuple[int, int, int]]:
    """By kind of budget: spent, leased, presumed."""
    async with database.connection() as connection:
        found = await connection.execute(
            "select split_part(a.scope, '/', 1) as kind, spent_microusd as spent, leased_microusd as leased, "
            "coalesce(sum(p.microusd), 0)::int as presumed from accounts a left join presumed p using (scope) "
            "group by a.scope"
        )
        rows = await found.fetchall()
    return {row["kind"]: (row["spent"], row["leased"], row["presumed"]) for row in rows}


async def test_slices_of_a_silent_replica_count_as_spent_until_it_settles(open_ledger):
    """It is not started, so its heart does not beat: its lease on life runs out."""
    make, database = open_ledger
    silent, other = make(lease_seconds=0.2), make(lease_seconds=30)
    key = claims(campaign_cost_microusd=5000)
    await silent._replica.join()
    await other._replica.join()
    reserved = await silent.admit(key, call := uuid7(), 100)
    await silent.settle(await silent.admit(key, early := uuid7(), 100), called(key, early, 60))
    before = await accounts_in(database)
    assert before["campaign"] == (60, 740, 0), "a lease is eight calls, of which one is paid"
    assert await other._replica.fence_silent() == 0, "it may live"
    await asyncio.sleep(0.25)
    assert await other._replica.fence_silent() == 1
    fenced = await accounts_in(database)
    assert fenced["campaign"] == (800, 0, 740), "flagged"
    assert fenced["attempt"][0] == 60, "our death is nothing that the agent did"

    await silent.settle(reserved, called(key, call, 90))
    late = await accounts_in(database)
    assert late["campaign"] == (800, 0, 650), "one part of what was presumed is known now"
    assert late["attempt"][0] == 150
    await silent._replica.beat()
    after = await accounts_in(database)
    assert after["campaign"] == (150, 0, 0), "it has nothing on its way any more: the rest was never spent"
    await silent.settle(await silent.admit(key, again := uuid7(), 100), called(key, again, 10))
    assert (await accounts_in(database))["campaign"][0] == 160, "it goes on under a new name"
    await silent.close()
    await other.close()
    assert all(leased == 0 for _, leased, _ in (await accounts_in(database)).values())


async def test_a_replica_that_missed_a_closing_believes_it_for_as_long_as_it_trusts(open_ledger):
    make, database = open_ledger
    book, key = make(trust_seconds=0.5), claims()
    await book._replica.join()
    await book.admit(key, uuid7(), 0)
    async with database.connection() as connection:  # as somebody else wrote it, and the word was lost
        await connection.execute("update attempts set closed = true")
    await book.admit(key, uuid7(), 0)
    await asyncio.sleep(0.55)
    with pytest.raises(Refusal, match="attempt 1 is closed"):
        await book.admit(key, uuid7(), 0)
    assert TRUST_SECONDS == 10, "docs/gateway.md says so"


async def test_a_replica_that_lost_its_listener_trusts_no_cached_attempt(ledger):
    book, database = ledger
    key = claims()
    await book.admit(key, uuid7(), 0)
    async with database.connection() as connection:
        await connection.execute("update attempts set closed = true")
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and query ~* '^(listen|select 1)' and pid <> pg_backend_pid()"
        )

    async def refused() -> bool:
        try:
            await book.admit(key, uuid7(), 0)
        except Refusal as refusal:
            return refusal.code == "attempt_closed"
        return False

    async with asyncio.timeout(8):
        while not await refused():
            await asyncio.sleep(0.05)


def token(key: AttemptClaims, secret: SecretStr = SECRET, seconds: float = 3600, audience: str = AUDIENCE) -> str:
    now = datetime.now(UTC)
    payload = {
        **key.to_dict(),
        "aud": audience,
        "iat": now - timedelta(hours=1),
        "exp": now + timedelta(seconds=seconds),
    }
    return "Bearer " + jwt.encode(payload, secret.get_secret_value(), ALGORITHM)


def test_a_good_key_is_read():
    key = claims()
    keys = AttemptKeys(SECRET)
    assert keys.read(token(key)) == keys.read(token(key)) == key


def test_a_key_that_was_good_ends_with_its_deadline():
    keys, header = AttemptKeys(SECRET), token(claims(), seconds=2)
    keys.read(header)
    time.sleep(2.1)
    with pytest.raises(Refusal) as caught:
        keys.read(header)
    assert caught.value.code == "expired_api_key"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "invalid_api_key"),
        ("Bearer nonsense", "invalid_api_key"),
        ("Basic abc", "invalid_api_key"),
        (token(claims(), SecretStr("another-secret-of-thirty-two-bytes!!")), "invalid_api_key"),
        (token(claims(), audience="somebody-else"), "invalid_api_key"),
        (token(claims(), seconds=-5), "expired_api_key"),
        ("Bearer " + jwt.encode({"aud": AUDIENCE}, "", "none"), "invalid_api_key"),
    ],
)
def test_bad_keys_are_refused(header: str, code: str):
    with pytest.raises(Refusal) as caught:
        AttemptKeys(SECRET).read(header)
    assert (caught.value.status, caught.value.code) == (401, code)


def prices(**models: Model) -> Prices:
    return Prices(lambda name: models.get(name, Model()))


def test_prices_the_own_table_first_and_unknown_is_unknown():
    own = prices(**{"gpt-4o-mini": Model(prices=Price(input=Decimal(1000), output=Decimal(0)))})
    usage = Usage(input_tokens=1000, output_tokens=1000)
    assert own.cost("gpt-4o-mini", usage) == 1_000_000
    built_in = prices().cost("gpt-4o-mini", usage)
    assert built_in == 750
    assert prices().cost("openai/gpt-4o-mini", usage) == built_in
    assert prices(**{"mine/fast": Model(name="gpt-4o-mini")}).cost("mine/fast", usage) == built_in
    assert prices().cost("never/heard-of-it", usage) is None


def test_cached_written_and_reasoning_tokens_have_prices_of_their_own():
    usage = Usage(input_tokens=1000, cached_tokens=400, cache_write_tokens=100, output_tokens=300, reasoning_tokens=200)
    plain = Price(input=Decimal(10), output=Decimal(100))
    full = plain.model_copy(update={"cached": Decimal(1), "cache_write": Decimal(20), "reasoning": Decimal(50)})
    assert prices(m=Model(prices=plain)).cost("m", usage) == 1000 * 10 + 300 * 100
    assert prices(m=Model(prices=full)).cost("m", usage) == 500 * 10 + 400 * 1 + 100 * 20 + 100 * 100 + 200 * 50


SONNET = Price(input=Decimal(3), output=Decimal(15), cached=Decimal("0.3"), cache_write=Decimal("3.75"))


@pytest.mark.parametrize(
    ("price", "counted", "microusd"),
    [
        (SONNET, {"input_tokens": 3, "cache_creation_input_tokens": 12304, "output_tokens": 550}, 54399),
        (SONNET, {"input_tokens": 9, "cache_read_input_tokens": 1, "output_tokens": 0}, 28),
        # 1.6 times the price of five minutes, where nothing else is named.
        (SONNET, {"input_tokens": 0, "output_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": 1000}}, 6000),
        (SONNET.model_copy(update={"cache_write_1h": Decimal(7)}),
         {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 300,
          "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}, 1775),
    ],
)  # fmt: skip
def test_what_is_cached_for_minutes_and_for_an_hour_has_prices_of_its_own(price: Price, counted: dict, microusd: int):
    usage = usage_of("anthropic", {"usage": counted})
    assert usage is not None
    assert prices(m=Model(prices=price)).cost("m", usage) == microusd


def test_listed_prices_tell_five_minutes_from_an_hour():
    usage = Usage(input_tokens=3000, cache_write_tokens=3000, cache_write_1h_tokens=1000, output_tokens=0)
    assert prices().cost("anthropic/claude-sonnet-4-5", usage) == 2000 * 3.75 + 1000 * 6


def test_usage_that_cannot_be_believed_is_none():
    assert usage_of("openai", {"usage": {"prompt_tokens": -5, "completion_tokens": 1}}) is None
    assert usage_of("openai", {"usage": {"prompt_tokens": True, "completion_tokens": 1}}) is None
    assert usage_of("openai", {"usage": {}}) is None
    details = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}
    assert usage_of("openai", {"usage": details}) == Usage(calls=1, input_tokens=9, cached_tokens=3, output_tokens=4)
    claude = {"input_tokens": 5, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2, "output_tokens": 4}
    assert usage_of("anthropic", {"usage": claude}) == Usage(
        calls=1, input_tokens=10, cached_tokens=3, cache_write_tokens=2, output_tokens=4
    )
    assert usage_of("anthropic", {"usage": {**claude, "output_tokens": -4}}) is None


@pytest.fixture
async def slow_ledger(ledger, monkeypatch):
    """A ledger whose record takes 50 ms for a lease."""
    book, database = ledger
    grant = book._broker._leases.grant

    async def slowly(requests):
        await asyncio.sleep(0.05)
        return await grant(requests)

    monkeypatch.setattr(book._broker._leases, "grant", slowly)
    return book, database


async def test_with_256_callers_and_a_slow_record_nobody_is_refused_while_there_is_money(slow_ledger):
    """Callers that come later must not take for ever what was leased for one that waits."""
    book, database = slow_ledger
    key = claims(**dict.fromkeys(("max_cost_microusd", "submission_cost_microusd"), 10**12))

    async def caller(number: int) -> None:
        for _ in range(3):
            call_id = uuid7()
            reservation = await book.admit(key, call_id, 10_400 + number)
            await asyncio.sleep(0.01)
            await book.settle(reservation, called(key, call_id, 100))

    async with asyncio.timeout(100):
        await asyncio.gather(*(caller(number) for number in range(256)))
    async with database.connection() as connection:
        row = await (
            await connection.execute("select count(*) as calls, sum(cost_microusd) as cost from calls")
        ).fetchone()
    assert (row["calls"], int(row["cost"])) == (3 * 256, 3 * 256 * 100)


async def test_256_callers_are_admitted_in_the_order_in_which_they_came_with_a_slow_record(slow_ledger, monkeypatch):
    """Large and small calls on one key, near its cap: what calls before them give back is all that there is."""
    monkeypatch.setattr(lease_broker, "_PATIENCE_SECONDS", 60.0)
    book, _ = slow_ledger
    key = claims(max_cost_microusd=3000, submission_cost_microusd=4000)
    needs = [(17, 900, 320, 600)[number % 4] + number for number in range(256)]
    arrived: list[int] = []
    admitted: list[int] = []
    reserve = book._broker.reserve

    async def noted(claims, accounts, need, *, last):
        arrived.append(need)
        return await reserve(claims, accounts, need, last=last)

    monkeypatch.setattr(book._broker, "reserve", noted)

    async def caller(need: int) -> None:
        reservation = await book.admit(key, uuid7(), need)
        admitted.append(need)
        await asyncio.sleep(0.002 * (need % 5))
        await book.release(reservation)

    async with asyncio.timeout(60):
        await asyncio.gather(*(caller(need) for need in needs))
    assert len(admitted) == 256
    assert admitted == arrived


async def test_a_large_call_near_the_cap_is_not_passed_by_small_ones_that_come_later(ledger):
    book, _ = ledger
    key = claims()
    running = [await book.admit(key, uuid7(), 200) for _ in range(4)]
    large = asyncio.create_task(book.admit(key, uuid7(), 900))
    await asyncio.sleep(0.05)
    small = [asyncio.create_task(book.admit(key, uuid7(), 50)) for _ in range(20)]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in (large, *small)), "200 are free, and the oldest needs 900"
    for reservation in running:
        await book.release(reservation)
    held = await large
    await book.release(held)
    for reservation in await asyncio.gather(*small):
        await book.release(reservation)


async def test_a_call_that_waits_for_its_own_attempt_does_not_hold_up_other_attempts(ledger):
    book, _ = ledger
    shared = {"submission_cost_microusd": 10**6, "campaign_cost_microusd": 10**6, "campaign_epoch": 1}
    busy, other = claims(**shared), claims(**shared)
    held = await book.admit(busy, uuid7(), 1000)
    blocked = asyncio.create_task(book.admit(busy, uuid7(), 1000))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(0.9):
        await book.release(await book.admit(other, uuid7(), 1000))
    assert not blocked.done()
    await book.release(held)
    await book.release(await blocked)


async def test_waiters_that_are_cancelled_or_refused_leave_the_line_and_no_money_behind(slow_ledger):
    book, database = slow_ledger
    key = claims()
    held = await book.admit(key, uuid7(), 900)
    waiting = [asyncio.create_task(book.admit(key, uuid7(), 500)) for _ in range(10)]
    last = asyncio.create_task(book.admit(key, uuid7(), 60))
    while len(list(book._broker._line)) <= len(waiting):
        await asyncio.sleep(0)
    for task in waiting[1:]:
        task.cancel()
    with pytest.raises(Refusal) as tied:
        await waiting[0]
    assert tied.value.code == "budget_tied_up"
    found = await asyncio.gather(*waiting[1:], return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in found)
    await book.release(await last)

    granted = asyncio.create_task(book.admit(key, uuid7(), 500))
    while not book._broker._line:
        await asyncio.sleep(0)
    await book.release(held)
    while book._broker._line:  # until it is admitted, and does not know it yet
        await asyncio.sleep(0)
    granted.cancel()
    await asyncio.gather(granted, return_exceptions=True)
    if not granted.cancelled():
        await book.release(granted.result())
    budgets = book._replica.current.budgets
    assert budgets.on_their_way == 0
    assert {mine.reserved for mine in budgets.slices.values()} <= {0}
    assert not book._broker._line.owed
    await book.close()
    assert all(leased == 0 for _, leased, _ in (await accounts_in(database)).values())


async def test_when_the_record_fails_its_waiting_calls_fail_and_later_ones_are_served(ledger, monkeypatch):
    book, _ = ledger
    key, grant = claims(), book._broker._leases.grant

    async def broken(requests):
        raise OSError("the record is away")

    monkeypatch.setattr(book._broker._leases, "grant", broken)
    found = await asyncio.gather(*(book.admit(key, uuid7(), 100) for _ in range(5)), return_exceptions=True)
    assert [str(one) for one in found] == ["the record is away"] * 5
    monkeypatch.setattr(book._broker._leases, "grant", grant)
    await book.release(await book.admit(key, uuid7(), 100))
