"""On a real Postgres: used-up budgets pause what they pay for, cost nobody an attempt, and let it go on."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

from synthbench.chassis.delivery import Delivery
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import BudgetExhausted
from synthbench.contracts.records import Outcome
from synthbench.scheduler.adapters.tables.campaigns import CampaignCap

DIGEST = "sha256:" + "a" * 64
TOMORROW = datetime.now(UTC) + timedelta(days=1)


async def say(scheduler, scope: str, *, epoch: int = 0, until: datetime | None = None, ago: float = 0) -> None:
    body = BudgetExhausted(
        submission_id=uuid4(), campaign="c", budget=scope.partition("/")[0], scope=scope, epoch=epoch,  # pyright: ignore[reportArgumentType] - one of the three
        limit_microusd=10, spent_microusd=9, until=until,
    )  # fmt: skip
    envelope = Envelope(body, "llm_gateway", time=datetime.now(UTC) - timedelta(seconds=ago))
    await scheduler.handlers.on_exhausted(Delivery(envelope, cast("Any", None), cast("Any", None), b""))


async def resume(scheduler, campaign: str, cap: int | None) -> CampaignCap | None:
    async with scheduler.store.transaction() as transaction:
        return await transaction.campaigns.resume(campaign, cap)


async def ready(scheduler) -> int:
    """How many rollouts go out to executors now."""
    return await scheduler.feeder.feed()


async def let_pass(scheduler) -> None:
    """The pause before the next attempt is over."""
    async with scheduler.store.transaction() as transaction:
        await transaction._connection.execute("update rollouts set not_before = now()")


async def test_running_out_of_money_is_no_failure_even_before_the_pause_is_heard(scheduler):
    rollout = await scheduler.rollout(DIGEST)
    for number in range(1, 15):  # more than the attempts that failures of ours may cost
        await scheduler.attempt(rollout, number, Outcome.INFRA_ERROR, "one", out_of_money=True)
        assert await scheduler.state(rollout.rollout_id) == "planned"
    async with scheduler.store.transaction() as transaction:
        assert await transaction.attempts.failures_of_rollout(rollout.rollout_id) == 0
        assert len(await transaction.attempts.given_back(rollout.rollout_id)) == 14, "each goes on from the last"
    assert await ready(scheduler) == 0, "not at once: its campaign is about to be paused"
    await let_pass(scheduler)
    assert await ready(scheduler) == 1


async def test_what_is_paused_waits_until_somebody_resumes_it(scheduler):
    rollout = await scheduler.rollout(DIGEST)
    await say(scheduler, "campaign/c", epoch=3)
    await scheduler.attempt(rollout, 1, Outcome.INFRA_ERROR, "one", out_of_money=True)
    await let_pass(scheduler)
    assert await ready(scheduler) == 0
    (paused,) = [row["reason"] for row in await scheduler.overviews.campaigns() if row["paused_at"]]
    assert paused.startswith("budget of campaign c too small for the next call: 0.0000 of")
    assert await resume(scheduler, "c", 100)
    await say(scheduler, "campaign/c", epoch=0)  # of an earlier setting: nothing
    assert await ready(scheduler) == 1


async def test_a_day_that_is_used_up_again_pauses_again(scheduler):
    await scheduler.rollout(DIGEST, state="planned")
    await say(scheduler, "day/2026-11-24", until=TOMORROW)
    assert await ready(scheduler) == 0
    assert await resume(scheduler, "*", None)
    await say(scheduler, "day/2026-11-24", until=TOMORROW, ago=60)  # said before, and delivered late
    assert await ready(scheduler) == 1
    await scheduler.rollout(DIGEST, state="planned")
    await say(scheduler, "day/2026-11-24", epoch=1, until=TOMORROW)
    assert await ready(scheduler) == 0


async def test_of_a_day_and_a_month_the_longer_one_pauses(scheduler):
    month = TOMORROW + timedelta(days=20)
    await say(scheduler, "month/2026-11", until=month)
    await say(scheduler, "day/2026-11-24", until=TOMORROW)
    (everything,) = [row for row in await scheduler.overviews.campaigns() if row["campaign"] == "*"]
    assert everything["paused_until"] == month
    assert "month" in everything["reason"]
