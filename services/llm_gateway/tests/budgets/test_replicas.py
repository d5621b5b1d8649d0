"""Replicas of the gateway, a process each: one budget, one word about keys, whoever dies."""

import asyncio
import os
import signal
from time import monotonic
from uuid import uuid4

import httpx
import pytest

from gateway_replicas import COST, Group
from model_upstream import two_wires

FULL = os.environ.get("FULL") == "1"
CALLERS = 200
ROUNDS = 10 if FULL else 2
"""Calls that each caller would like to make."""


def watched(group: Group, cap: int) -> asyncio.Task[None]:
    """Watch the budget while everybody spends it."""

    async def watch() -> None:
        while True:
            found = await group.account("campaign/c")
            assert found["spent"] + found["leased"] <= cap
            await asyncio.sleep(0.05)

    return asyncio.create_task(watch())


async def spend(group: Group, key: str, number: int, rounds: int) -> list[str]:
    """One caller: ask until the money is gone; go elsewhere when a gateway dies, and come again when told to."""
    codes: list[str] = []
    while len(codes) < rounds:
        try:
            _, code = await group.ask(number, key)
        except httpx.TransportError:
            codes.append("gateway_died")
            number += 1
            continue
        if code == "budget_tied_up":
            await asyncio.sleep(0.1)
            continue
        codes.append(code or "ok")
        if code == "budget_exhausted":
            break
    return codes


async def until(condition, seconds: float, what: str) -> None:
    deadline = monotonic() + seconds
    while not await condition():
        assert monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.05)


@pytest.mark.timeout(200)
async def test_two_hundred_callers_over_three_replicas_never_overspend_though_one_is_killed(start_replicas, upstream):
    upstream.delay = 3.0
    cap = int(COST * CALLERS * ROUNDS * 0.7)
    async with start_replicas(3, two_wires(upstream.url), ledger_lease_seconds="2") as group:
        keys = [group.key("chat/small", campaign_cost_microusd=cap, campaign_epoch=1) for _ in range(CALLERS)]
        watching = watched(group, cap)
        spending = [asyncio.create_task(spend(group, key, number, ROUNDS)) for number, key in enumerate(keys)]
        await until(lambda: _reached(upstream, CALLERS // 2), 30, "calls are on their way")
        group.replicas[0].send(signal.SIGKILL)
        upstream.delay = 0.02
        codes = [code for codes in await asyncio.gather(*spending) for code in codes]
        await until(lambda: _fenced(group, 2), 15, "the dead one is fenced")
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching

        called, account = await group.called(), await group.account("campaign/c")
    billed = COST * len(upstream.seen)
    assert {seen.served for seen in upstream.seen} == {"ok"}
    assert set(codes) <= {"ok", "budget_exhausted", "gateway_died"}
    assert "gateway_died" in codes, "it was killed while calls were on their way"
    assert "budget_exhausted" in codes
    assert billed <= cap, "never overspent, the dead one's calls included"
    lost = len(upstream.seen) - called["calls"]
    assert 0 < lost <= codes.count("gateway_died"), "asked, and not written down: only what died with its gateway"
    assert called["cost"] == COST * called["calls"]
    assert account["presumed"] >= COST * lost, "what it had reserved counts as spent, and is flagged"
    assert account["spent"] == called["cost"] + account["presumed"]
    assert billed <= account["spent"] <= cap


async def _reached(upstream, calls: int) -> bool:
    return len(upstream.seen) >= calls


async def _fenced(group: Group, living: int) -> bool:
    (row,) = await group.rows("select count(*)::int as replicas from replicas")
    return row["replicas"] == living


@pytest.mark.timeout(120)
async def test_a_replica_that_stood_still_is_fenced_and_corrects_what_was_presumed_of_it(start_replicas, upstream):
    upstream.delay = 3.0
    cap = int(COST * 1000)
    async with start_replicas(2, two_wires(upstream.url), ledger_lease_seconds="2") as group:
        keys = [group.key("chat/small", campaign_cost_microusd=cap, campaign_epoch=1) for _ in range(20)]
        asked = [asyncio.create_task(group.ask(0, key)) for key in keys]
        await until(lambda: _reached(upstream, len(keys)), 20, "its calls are on their way")
        group.replicas[0].send(signal.SIGSTOP)
        await until(lambda: _fenced(group, 1), 15, "it is fenced")
        presumed = await group.account("campaign/c")
        assert presumed["presumed"] >= COST * len(keys)
        assert presumed["spent"] == presumed["presumed"], "nothing is written down yet, all of it counts"
        assert (await group.ask(1, group.key("chat/small", campaign_cost_microusd=cap, campaign_epoch=1)))[0] == 200

        group.replicas[0].send(signal.SIGCONT)
        answers = await asyncio.gather(*asked)
        assert {status for status, _ in answers} == {200}, "whoever waited has its answer"
        await until(lambda: _settled(group), 15, "what was presumed is forgiven")
        assert (await group.ask(0, keys[0]))[0] == 200, "it goes on under a new name"
        called, account = await group.called(), await group.account("campaign/c")
    assert called == {"calls": len(upstream.seen), "cost": COST * len(upstream.seen)}
    assert account["spent"] == called["cost"]


async def _settled(group: Group) -> bool:
    return not await group.rows("select 1 from presumed")


@pytest.mark.timeout(120)
async def test_a_closed_attempts_key_is_refused_by_every_replica_at_once(start_replicas, upstream):
    rollout = uuid4()
    async with start_replicas(3, two_wires(upstream.url)) as group:
        first, second = (group.key("chat/small", rollout_id=rollout, attempt=number) for number in (1, 2))
        assert [(await group.ask(number, first))[0] for number in range(3)] == [200] * 3
        began = monotonic()
        await group.close_attempt(rollout, 1)
        for number in range(3):
            await until(lambda number=number: _refused(group, number, first), 3, f"replica {number} has heard of it")
        assert monotonic() - began < 3
        assert [(await group.ask(number, second))[0] for number in range(3)] == [200] * 3, "a later attempt's is good"

        third = group.key("chat/small", rollout_id=rollout, attempt=3)
        assert (await group.ask(0, third))[0] == 200
        for number in range(3):  # the grant of a later attempt is as good as a closing
            await until(
                lambda number=number: _refused(group, number, second), 3, f"replica {number} has seen the third"
            )


async def _refused(group: Group, number: int, key: str) -> bool:
    return await group.ask(number, key) == (403, "attempt_closed")
