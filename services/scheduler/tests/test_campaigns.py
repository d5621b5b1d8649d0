"""On a real Postgres: used-up budgets pause what they pay for, cost nobody an attempt, and let it go on."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from synthbench.contracts.events import BudgetExhausted
from synthbench.contracts.records import Outcome
from synthbench.scheduler.campaigns import Campaigns

DIGEST = "sha256:" + "a" * 64
TOMORROW = datetime.now(UTC) + timedelta(days=1)


@pytest.fixture
def campaigns(desk) -> Campaigns:
    return Campaigns(desk.store)


async def say(
    campaigns: Campaigns, scope: str, *, epoch: int = 0, until: datetime | None = None, ago: float = 0
) -> None:
    body = BudgetExhausted(
        submission_id=uuid4(), campaign="c", budget=scope.partition("/")[0], scope=scope, epoch=epoch,  # pyright: ignore[reportArgumentType] - one of the three
        limit_microusd=10, spent_microusd=9, until=until,
    )  # fmt: skip
    await campaigns.pause(body, datetime.now(UTC) - timedelta(seconds=ago))


async def ready(desk) -> int:
    """How many rollouts go out to executors now."""
    return await desk.handlers.feed()


async def let_pass(desk) -> None:
    """The pause before the next attempt is over."""
    async with desk.store.transaction() as transaction:
        await transaction._connection.execute("update rollouts set not_before = now()")


async def test_running_out_of_money_is_no_failure_even_before_the_pause_is_heard(desk):
    rollout = await desk.rollout(DIGEST)
    for number in range(1, 15):  # more than the attempts that failures of ours may cost
        await desk.attempt(rollout, number, Outcome.INFRA_ERROR, "one", out_of_money=True)
        assert await desk.state(rollout.rollout_id) == "planned"
    assert (await desk.store.rows("failures_of_rollout", rollout_id=rollout.rollout_id))[0]["failures"] == 0
    assert len(await desk.store.rows("given_back", rollout_id=rollout.rollout_id)) == 14, "each goes on from the last"
    assert await ready(desk) == 0, "not at once: its campaign is about to be paused"
    await let_pass(desk)
    assert await ready(desk) == 1


async def test_what_is_paused_waits_until_somebody_resumes_it(desk, campaigns):
    rollout = await desk.rollout(DIGEST)
    await say(campaigns, "campaign/c", epoch=3)
    await desk.attempt(rollout, 1, Outcome.INFRA_ERROR, "one", out_of_money=True)
    await let_pass(desk)
    assert await ready(desk) == 0
    (paused,) = [row["reason"] for row in await campaigns.listed() if row["paused_at"]]
    assert paused.startswith("budget of campaign c too small for the next call: 0.0000 of")
    assert await campaigns.resume("c", 100)
    await say(campaigns, "campaign/c", epoch=0)  # of an earlier setting: nothing
    assert await ready(desk) == 1


async def test_a_day_that_is_used_up_again_pauses_again(desk, campaigns):
    await desk.rollout(DIGEST, state="planned")
    await say(campaigns, "day/2026-11-24", until=TOMORROW)
    assert await ready(desk) == 0
    assert await campaigns.resume("*", None)
    await say(campaigns, "day/2026-11-24", until=TOMORROW, ago=60)  # said before, and delivered late
    assert await ready(desk) == 1
    await desk.rollout(DIGEST, state="planned")
    await say(campaigns, "day/2026-11-24", epoch=1, until=TOMORROW)
    assert await ready(desk) == 0


async def test_of_a_day_and_a_month_the_longer_one_pauses(desk, campaigns):
    month = TOMORROW + timedelta(days=20)
    await say(campaigns, "month/2026-11", until=month)
    await say(campaigns, "day/2026-11-24", until=TOMORROW)
    (everything,) = [row for row in await campaigns.listed() if row["campaign"] == "*"]
    assert everything["paused_until"] == month
    assert "month" in everything["reason"]
