"""On a real Postgres: a task that only ever fails is set aside, a failing machine is not, and drains do not count."""

import asyncio
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.scheduler.domain.planning import DeploymentPolicy, TaskFacts, plan

BAD, GOOD = "sha256:" + "b" * 64, "sha256:" + "a" * 64


async def fail(
    scheduler, digest: str, executors: list[str], campaigns: str = "cd", routes: str = "m", **options
) -> None:
    """Rollouts that fail one after the other, with the campaigns and routes in turn."""
    for number, executor in enumerate(executors):
        campaign, route = campaigns[number % len(campaigns)], routes[number % len(routes)]
        rollout = await scheduler.rollout(digest, campaign=campaign, route=route)
        await scheduler.attempt(rollout, 1, Outcome.INFRA_ERROR, executor, **options)


async def other_tasks_work(scheduler) -> None:
    await scheduler.attempt(await scheduler.rollout(GOOD), 1, Outcome.UNSOLVED, "one", minutes=1)


async def test_a_task_that_only_fails_while_others_fare_better(scheduler):
    waiting = await scheduler.rollout(BAD, state="planned")
    first = await scheduler.rollout(BAD)
    await scheduler.attempt(first, 1, Outcome.INFRA_ERROR, "one", minutes=-5)
    await scheduler.attempt(await scheduler.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(scheduler, BAD, ["two", "three"])
    assert await scheduler.quarantined() == [BAD]
    assert await scheduler.state(waiting.rollout_id) == "failed"
    # A new submission of it hears why.
    errors = await scheduler.handlers.quarantine_errors(BAD)
    assert "is in quarantine: 3 failures in a row over" in errors[0].message
    # Let go, its past does not count any more.
    async with scheduler.store.transaction() as transaction:
        assert await transaction.quarantine.release(BAD)
    await scheduler.attempt(await scheduler.rollout(BAD), 1, Outcome.INFRA_ERROR, "four")
    assert await scheduler.quarantined() == []


async def test_one_campaign_alone_sets_no_task_aside_for_everybody(scheduler):
    await other_tasks_work(scheduler)
    await fail(scheduler, BAD, ["one", "two", "three", "four"], campaigns="c")
    assert await scheduler.quarantined() == []
    await fail(scheduler, BAD, ["five"], campaigns="d")
    assert await scheduler.quarantined() == [BAD]


async def test_where_one_executor_serves_all_one_campaign_is_enough_over_different_rollouts(scheduler):
    await other_tasks_work(scheduler)
    one = await scheduler.rollout(BAD)
    for number in range(1, 5):
        await scheduler.attempt(one, number, Outcome.INFRA_ERROR, "one", minutes=-number)
    assert await scheduler.quarantined() == []
    for number in range(2):
        await scheduler.attempt(await scheduler.rollout(BAD), 1, Outcome.INFRA_ERROR, "one", minutes=-10 - number)
    assert await scheduler.quarantined() == [BAD]


async def test_what_one_model_alone_made_fail_does_not_count(scheduler):
    await other_tasks_work(scheduler)
    await fail(scheduler, BAD, ["one", "two", "three", "four"], begun=True)
    assert await scheduler.quarantined() == []
    await fail(scheduler, BAD, ["five"], begun=True, routes="n")
    assert await scheduler.quarantined() == [BAD]


async def test_the_arguments_that_rollouts_share_are_kept_once(scheduler):
    wanted = TaskSubmitted(task="t", route="m", samples=50, scaffold_args={"prompt": "concise"})
    facts = TaskFacts(TaskInfo(name="t", digest=GOOD), ("bubblewrap",), from_library=False)
    submission_id = uuid4()
    planned = plan(submission_id, wanted, facts, DeploymentPolicy(("bubblewrap",), ("native",)))
    async with scheduler.store.transaction() as transaction:
        await transaction.submissions.add(submission_id, "client", wanted, facts.info, planned)
        await transaction.rollouts.add(planned.rollouts)
    async with scheduler.database.connection() as connection:
        kept = await (await connection.execute("select body from rollouts")).fetchall()
    assert not any("scaffold_args" in row["body"] for row in kept)
    async with scheduler.store.transaction() as transaction:
        locked = await transaction.rollouts.lock(planned.rollouts[7].rollout_id)
        taken = await transaction.rollouts.take_planned("bubblewrap", 50)
    assert locked.rollout == planned.rollouts[7]
    assert {one.rollout.rollout_id for one in taken} == {r.rollout_id for r in planned.rollouts}
    assert all(one.rollout.scaffold_args == {"prompt": "concise"} for one in taken)
    found = await scheduler.overviews.rollout(planned.rollouts[0].rollout_id)
    assert found["body"]["scaffold_args"] == {"prompt": "concise"}


async def test_a_machine_that_fails_is_not_the_tasks_fault(scheduler):
    await fail(scheduler, BAD, ["one", "two", "three", "four"])
    assert await scheduler.quarantined() == []


async def test_one_executor_that_dies_with_all_its_attempts_is_one_failure(scheduler):
    await scheduler.attempt(await scheduler.rollout(BAD), 1, Outcome.INFRA_ERROR, "one", minutes=-5)
    await scheduler.attempt(await scheduler.rollout(GOOD), 1, Outcome.SOLVED, "two")
    for _ in range(8):
        await scheduler.attempt(await scheduler.rollout(BAD), 1, Outcome.INFRA_ERROR, "one")
    assert await scheduler.quarantined() == []


async def test_a_success_in_between_begins_the_count_anew(scheduler):
    await fail(scheduler, BAD, ["one", "two"], minutes=-5)
    await scheduler.attempt(await scheduler.rollout(BAD), 1, Outcome.UNSOLVED, "one", minutes=-1)
    await scheduler.attempt(await scheduler.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(scheduler, BAD, ["three", "four"])
    assert await scheduler.quarantined() == []


async def test_drains_do_not_count(scheduler):
    await scheduler.attempt(await scheduler.rollout(BAD), 1, Outcome.INFRA_ERROR, "zero", minutes=-5, released=True)
    await scheduler.attempt(await scheduler.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(scheduler, BAD, ["one", "two", "three", "four"], released=True)
    assert await scheduler.quarantined() == []


async def test_overdue_ones_are_announced_again(scheduler):
    stuck = await scheduler.rollout(BAD, state="ready")
    async with scheduler.database.connection() as connection:
        await connection.execute("update rollouts set changed_at = now() - interval '1 hour'")
    assert await scheduler.feeder.reconcile() == 1
    assert await scheduler.state(stuck.rollout_id) == "planned"
    assert await scheduler.feeder.feed() == 1
    assert await scheduler.feeder.reconcile() == 0


async def test_a_submission_ends_though_its_last_two_rollouts_end_at_the_same_time(scheduler):
    first = await scheduler.rollout(GOOD, state="closed")
    second = first.model_copy(update={"rollout_id": uuid4()})
    async with scheduler.database.connection() as connection:
        await connection.execute(
            "insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
            "values (%s, %s, 'c', %s, 'bubblewrap', 1, 'closed')",
            [second.rollout_id, second.submission_id, Jsonb(second.to_dict())])  # fmt: skip
    both_curated = asyncio.Barrier(2)

    async def curate(rollout: Rollout) -> None:
        async with scheduler.store.transaction() as transaction:
            await transaction.rollouts.mark_curated(rollout.rollout_id)
            await both_curated.wait()
            await transaction.submissions.finish(rollout.submission_id)

    async with asyncio.timeout(20):
        await asyncio.gather(curate(first), curate(second))
    found = await scheduler.overviews.submission(first.submission_id)
    assert found["state"] == "done"


@pytest.mark.parametrize(("permanent", "others"), [("submission", "failed"), ("rollout", "planned")])
async def test_a_failure_that_stays_is_tried_once_and_stops_what_it_holds_for(scheduler, permanent: str, others: str):
    first = await scheduler.rollout(BAD)
    waiting = first.model_copy(update={"rollout_id": uuid4()})
    ready = first.model_copy(update={"rollout_id": uuid4()})
    stranger = await scheduler.rollout(BAD, state="planned")
    async with scheduler.database.connection() as connection:
        for rollout, state in ((waiting, "planned"), (ready, "ready")):
            await connection.execute(
                "insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
                "values (%s, %s, 'c', %s, 'bubblewrap', 1, %s)",
                [rollout.rollout_id, rollout.submission_id, Jsonb(rollout.to_dict()), state])  # fmt: skip
    await scheduler.attempt(first, 1, Outcome.INFRA_ERROR, "one", permanent=permanent)
    assert await scheduler.state(first.rollout_id) == "failed"
    assert await scheduler.state(waiting.rollout_id) == others
    assert await scheduler.state(ready.rollout_id) == ("failed" if others == "failed" else "ready")
    assert await scheduler.state(stranger.rollout_id) == "planned"
    found = await scheduler.overviews.submission(first.submission_id)
    assert found["state"] == ("failed" if others == "failed" else "open")
    (attempt,) = await scheduler.overviews.attempts_of_submission(first.submission_id)
    assert attempt["reason"] == "it broke"


async def test_failures_that_stay_set_no_task_aside(scheduler):
    await scheduler.attempt(await scheduler.rollout(GOOD), 1, Outcome.UNSOLVED, "one", minutes=1)
    for number in range(8):
        await scheduler.attempt(
            await scheduler.rollout(BAD), 1, Outcome.INFRA_ERROR, f"e{number}", permanent="submission"
        )
    assert await scheduler.quarantined() == []
