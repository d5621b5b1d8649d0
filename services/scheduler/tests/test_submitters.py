"""A client does nothing to others' work: its subject says who it is, whatever the body claims."""

import json
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from synthbench.chassis.delivery import Delivery, Malformed
from synthbench.chassis.errors import Drop
from synthbench.contracts.cloudevents import Envelope, MalformedEvent
from synthbench.contracts.events import CancelRequested, TaskSubmitted
from synthbench.contracts.model import Record
from synthbench.contracts.registry import arrives_as


def sent(body: Record, sender: str) -> Delivery[Any]:
    subject = arrives_as(Envelope(body, "test").subject, sender)
    message = cast("Any", SimpleNamespace(subject=subject))
    return Delivery(Envelope(body, "test"), cast("Any", None), message, body.to_json())


async def submit(scheduler, sender: str, submission_id: UUID | None = None, **fields: Any) -> None:
    wanted = {"task": "simple-task-001", "route": "sim/expert", "samples": 2, "submission_id": submission_id, **fields}
    await scheduler.handlers.on_submitted(sent(TaskSubmitted.model_validate(wanted), sender))


async def answers(scheduler) -> list[tuple[str, dict[str, Any]]]:
    """What the scheduler told submitters: subject and body."""
    async with scheduler.database.connection() as connection:
        rows = await connection.execute(
            "select subject, convert_from(payload, 'UTF8') as body from outbox "
            "where subject ~ '^task.(accepted|rejected)' order by seq"
        )
        return [(row["subject"], json.loads(row["body"])) for row in await rows.fetchall()]


async def state_of(scheduler, submission_id: UUID) -> tuple[str, str, set[str]]:
    """Its submitter, its state, and the states of its rollouts."""
    found = await scheduler.overviews.submission(submission_id)
    rollouts = await scheduler.overviews.rollouts_of_submission(submission_id)
    return found["submitter"], found["state"], {row["state"] for row in rollouts}


async def test_the_submitter_is_kept_and_told_to_all(scheduler):
    submission = uuid4()
    await submit(scheduler, "alice", submission)
    assert (await state_of(scheduler, submission))[0] == "alice"
    ((subject, body),) = await answers(scheduler)
    assert (subject, body["submitter"], body["submission_id"]) == ("task.accepted", "alice", str(submission))


@pytest.mark.parametrize("fields", [{"seed": -1}, {"max_seconds": 1e-9}, {"max_cost_microusd": 2**53 - 1}], ids=str)
async def test_the_least_and_the_most_that_a_submission_may_say_is_kept(scheduler, fields: dict[str, Any]):
    submission = uuid4()
    await submit(scheduler, "alice", submission, **fields)
    assert (await state_of(scheduler, submission))[:2] == ("alice", "open")


async def test_a_rejection_goes_to_its_submitter_alone(scheduler):
    await submit(scheduler, "alice", task="no-such-task")
    await submit(scheduler, "operator", task="no-such-task")
    assert [subject for subject, _ in await answers(scheduler)] == ["task.rejected.alice", "task.rejected"]


@pytest.mark.parametrize("task", ["simple-task-001", "no-such-task"])
async def test_an_id_that_is_anothers_is_refused_without_a_word_about_his_submission(scheduler, task: str):
    victims = uuid4()
    await submit(scheduler, "alice", victims)
    before = await state_of(scheduler, victims)
    await submit(scheduler, "mallory", victims, task=task)
    assert await state_of(scheduler, victims) == before
    (_, (subject, body)) = await answers(scheduler)
    assert subject == "task.rejected.mallory"
    assert body["submission_id"] != str(victims)
    assert body["errors"][0]["field"] == "submission_id"


@pytest.mark.parametrize("named", ["hers", "not a uuid", 7, None, ["x"], "unused"])
async def test_a_malformed_submission_rejects_nothing_of_anybody_else(scheduler, named: object):
    victims, unused = uuid4(), uuid4()
    await submit(scheduler, "alice", victims)
    content = {"submission_id": {"hers": str(victims), "unused": str(unused)}.get(str(named), named), "task": ""}
    for sender in ("mallory", "alice"):
        await scheduler.handlers.on_malformed_submission(
            Malformed(uuid4(), sender, content, MalformedEvent("task: empty"))
        )
    rejected = [(subject, body["submission_id"]) for subject, body in (await answers(scheduler))[1:]]
    assert [subject for subject, _ in rejected] == ["task.rejected.mallory", "task.rejected.alice"]
    assert str(victims) not in {identity for _, identity in rejected}
    assert (str(unused) in {identity for _, identity in rejected}) is (named == "unused")
    # An id that mallory's broken message named first is alice's all the same.
    if named == "unused":
        await submit(scheduler, "alice", unused)
        assert (await state_of(scheduler, unused))[:2] == ("alice", "open")


@pytest.mark.parametrize("what", ["submission_id", "campaign", "rollout_id"])
async def test_only_the_submitter_and_the_operator_cancel(scheduler, what: str):
    hers, others = uuid4(), uuid4()
    await submit(scheduler, "alice", hers, campaign="shared")
    await submit(scheduler, "mallory", others, campaign="shared")
    (first, *_) = await scheduler.overviews.rollouts_of_submission(hers)
    target = {"submission_id": hers, "campaign": "shared", "rollout_id": first["rollout_id"]}[what]
    cancel = CancelRequested.model_validate({what: target})
    untouched = await state_of(scheduler, hers)
    if what == "campaign":
        await scheduler.handlers.on_cancel(sent(cancel, "mallory"))
        assert (await state_of(scheduler, others))[1] == "cancelled"
    else:
        with pytest.raises(Drop, match="mallory has nothing under way"):
            await scheduler.handlers.on_cancel(sent(cancel, "mallory"))
    assert await state_of(scheduler, hers) == untouched
    await scheduler.handlers.on_cancel(sent(cancel, "alice" if what != "campaign" else "operator"))
    assert "cancelled" in (await state_of(scheduler, hers))[2]


async def test_the_operator_cancels_what_anybody_submitted(scheduler):
    hers = uuid4()
    await submit(scheduler, "alice", hers)
    await scheduler.handlers.on_cancel(sent(CancelRequested(submission_id=hers), "operator"))
    assert (await state_of(scheduler, hers))[1:] == ("cancelled", {"cancelled"})


async def test_nobody_caps_a_campaign_that_others_submit_into_or_submits_into_anothers(scheduler):
    await submit(scheduler, "alice", campaign="default")
    await submit(scheduler, "mallory", campaign="default", campaign_cost_microusd=0)
    await submit(scheduler, "alice", campaign="hers", campaign_cost_microusd=5_000_000)
    await submit(scheduler, "mallory", campaign="hers")
    await submit(scheduler, "mallory", campaign="hers", campaign_cost_microusd=0)
    await submit(scheduler, "alice", campaign="hers", campaign_cost_microusd=6_000_000)
    await submit(scheduler, "operator", campaign="hers", campaign_cost_microusd=7_000_000)
    told = [(subject, [one["field"] for one in body.get("errors", [])]) for subject, body in await answers(scheduler)]
    assert told == [
        ("task.accepted", []),
        ("task.rejected.mallory", ["campaign_cost_microusd"]),
        ("task.accepted", []),
        ("task.rejected.mallory", ["campaign"]),
        ("task.rejected.mallory", ["campaign"]),
        ("task.accepted", []),
        ("task.accepted", []),
    ]
    campaigns = {row["campaign"]: row for row in await scheduler.overviews.campaigns()}
    assert campaigns["hers"]["cost_cap_microusd"] == 7_000_000
    assert campaigns["default"]["cost_cap_microusd"] is None
