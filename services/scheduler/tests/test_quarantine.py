"""On a real Postgres: a task that only ever fails is set aside, a failing machine is not, and drains do not count."""

import asyncio
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.scheduler.domain.planning import Plan, Policy, TaskFacts, plan

BAD, GOOD = "sha256:" + "b" * 64, "sha256:" + "a" * 64


async def fail(desk, digest: str, executors: list[str], campaigns: str = "cd", routes: str = "m", **options) -> None:
    """Rollouts that fail one after the other, with the campaigns and routes in turn."""
    for number, executor in enumerate(executors):
        campaign, route = campaigns[number % len(campaigns)], routes[number % len(routes)]
        rollout = await desk.rollout(digest, campaign=campaign, route=route)
        await desk.attempt(rollout, 1, Outcome.INFRA_ERROR, executor, **options)


async def other_tasks_work(desk) -> None:
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one", minutes=1)


async def test_a_task_that_only_fails_while_others_fare_better(desk):
    waiting = await desk.rollout(BAD, state="planned")
    first = await desk.rollout(BAD)
    await desk.attempt(first, 1, Outcome.INFRA_ERROR, "one", minutes=-5)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(desk, BAD, ["two", "three"])
    assert await desk.quarantined() == [BAD]
    assert await desk.state(waiting.rollout_id) == "failed"
    # A new submission of it hears why.
    planned = await desk.handlers._unless_quarantined(BAD, Plan())
    assert "is in quarantine: 3 failures in a row over" in planned.errors[0].message
    # Let go, its past does not count any more.
    assert await desk.store.rows("release_quarantine", digest=BAD)
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "four")
    assert await desk.quarantined() == []


async def test_one_campaign_alone_sets_no_task_aside_for_everybody(desk):
    await other_tasks_work(desk)
    await fail(desk, BAD, ["one", "two", "three", "four"], campaigns="c")
    assert await desk.quarantined() == []
    await fail(desk, BAD, ["five"], campaigns="d")
    assert await desk.quarantined() == [BAD]


async def test_where_one_executor_serves_all_one_campaign_is_enough_over_different_rollouts(desk):
    await other_tasks_work(desk)
    one = await desk.rollout(BAD)
    for number in range(1, 5):
        await desk.attempt(one, number, Outcome.INFRA_ERROR, "one", minutes=-number)
    assert await desk.quarantined() == []
    for number in range(2):
        await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "one", minutes=-10 - number)
    assert await desk.quarantined() == [BAD]


async def test_what_one_model_alone_made_fail_does_not_count(desk):
    await other_tasks_work(desk)
    await fail(desk, BAD, ["one", "two", "three", "four"], begun=True)
    assert await desk.quarantined() == []
    await fail(desk, BAD, ["five"], begun=True, routes="n")
    assert await desk.quarantined() == [BAD]


async def test_the_arguments_that_rollouts_share_are_kept_once(desk):
    wanted = TaskSubmitted(task="t", route="m", samples=50, scaffold_args={"prompt": "concise"})
    facts = TaskFacts(TaskInfo(name="t", digest=GOOD), ("bubblewrap",), from_library=False)
    submission_id = uuid4()
    planned = plan(submission_id, wanted, facts, Policy(("bubblewrap",), ("native",)))
    async with desk.store.transaction() as transaction:
        await transaction.add_submission(submission_id, "client", wanted, facts.info, planned)
    async with desk.store._database.connection() as connection:
        kept = await (await connection.execute("select body from rollouts")).fetchall()
    assert not any("scaffold_args" in row["body"] for row in kept)
    async with desk.store.transaction() as transaction:
        locked = await transaction.lock_rollout(planned.rollouts[7].rollout_id)
        taken = await transaction.execute("take_planned", pool="bubblewrap", limit=50)
    assert locked.rollout == planned.rollouts[7]
    assert {Rollout.model_validate(row["body"]).rollout_id for row in taken} == {r.rollout_id for r in planned.rollouts}
    assert all(row["body"]["scaffold_args"] == {"prompt": "concise"} for row in taken)
    (found,) = await desk.store.rows("find_rollout", rollout_id=planned.rollouts[0].rollout_id)
    assert found["body"]["scaffold_args"] == {"prompt": "concise"}


async def test_a_machine_that_fails_is_not_the_tasks_fault(desk):
    await fail(desk, BAD, ["one", "two", "three", "four"])
    assert await desk.quarantined() == []


async def test_one_executor_that_dies_with_all_its_attempts_is_one_failure(desk):
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "one", minutes=-5)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.SOLVED, "two")
    for _ in range(8):
        await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "one")
    assert await desk.quarantined() == []


async def test_a_success_in_between_begins_the_count_anew(desk):
    await fail(desk, BAD, ["one", "two"], minutes=-5)
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.UNSOLVED, "one", minutes=-1)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(desk, BAD, ["three", "four"])
    assert await desk.quarantined() == []


async def test_drains_do_not_count(desk):
    await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, "zero", minutes=-5, released=True)
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one")
    await fail(desk, BAD, ["one", "two", "three", "four"], released=True)
    assert await desk.quarantined() == []


async def test_overdue_ones_are_announced_again(desk):
    stuck = await desk.rollout(BAD, state="ready")
    async with desk.store._database.connection() as connection:
        await connection.execute("update rollouts set changed_at = now() - interval '1 hour'")
    assert await desk.handlers.reconcile() == 1
    assert await desk.state(stuck.rollout_id) == "planned"
    assert await desk.handlers.feed() == 1
    assert await desk.handlers.reconcile() == 0


async def test_a_submission_ends_though_its_last_two_rollouts_end_at_the_same_time(desk):
    first = await desk.rollout(GOOD, state="closed")
    second = first.model_copy(update={"rollout_id": uuid4()})
    async with desk.store._database.connection() as connection:
        await connection.execute(
            "insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
            "values (%s, %s, 'c', %s, 'bubblewrap', 1, 'closed')",
            [second.rollout_id, second.submission_id, Jsonb(second.to_dict())])  # fmt: skip
    both_curated = asyncio.Barrier(2)

    async def curate(rollout: Rollout) -> None:
        async with desk.store.transaction() as transaction:
            await transaction.execute("curated", rollout_id=rollout.rollout_id)
            await both_curated.wait()
            await transaction.finish_submission(rollout.submission_id)

    async with asyncio.timeout(20):
        await asyncio.gather(curate(first), curate(second))
    (found,) = await desk.store.rows("find_submission", submission_id=first.submission_id)
    assert found["state"] == "done"


@pytest.mark.parametrize(("permanent", "others"), [("submission", "failed"), ("rollout", "planned")])
async def test_a_failure_that_stays_is_tried_once_and_stops_what_it_holds_for(desk, permanent: str, others: str):
    first = await desk.rollout(BAD)
    waiting = first.model_copy(update={"rollout_id": uuid4()})
    ready = first.model_copy(update={"rollout_id": uuid4()})
    stranger = await desk.rollout(BAD, state="planned")
    async with desk.store._database.connection() as connection:
        for rollout, state in ((waiting, "planned"), (ready, "ready")):
            await connection.execute(
                "insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
                "values (%s, %s, 'c', %s, 'bubblewrap', 1, %s)",
                [rollout.rollout_id, rollout.submission_id, Jsonb(rollout.to_dict()), state])  # fmt: skip
    await desk.attempt(first, 1, Outcome.INFRA_ERROR, "one", permanent=permanent)
    assert await desk.state(first.rollout_id) == "failed"
    assert await desk.state(waiting.rollout_id) == others
    assert await desk.state(ready.rollout_id) == ("failed" if others == "failed" else "ready")
    assert await desk.state(stranger.rollout_id) == "planned"
    (found,) = await desk.store.rows("find_submission", submission_id=first.submission_id)
    assert found["state"] == ("failed" if others == "failed" else "open")
    (attempt,) = await desk.store.rows("attempts_of", submission_id=first.submission_id)
    assert attempt["reason"] == "it broke"


async def test_failures_that_stay_set_no_task_aside(desk):
    await desk.attempt(await desk.rollout(GOOD), 1, Outcome.UNSOLVED, "one", minutes=1)
    for number in range(8):
        await desk.attempt(await desk.rollout(BAD), 1, Outcome.INFRA_ERROR, f"e{number}", permanent="submission")
    assert await desk.quarantined() == []
