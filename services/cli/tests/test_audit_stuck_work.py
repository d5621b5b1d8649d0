"""The auditor finds what waits for something that will not come, each kind by a fault of its own."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import DictRow

from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import dead_letter
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import Envelope, Message
from synthbench.contracts.events import CancelRequested, TaskReady, TaskSubmitted
from synthbench.contracts.model import Record
from synthbench.contracts.records import Rollout, TaskInfo
from synthbench.contracts.registry import Service, Stream, durable, durables
from synthbench.operations.audit import stuck_work
from synthbench.operations.audit.dead_letters import check_dead_letters
from synthbench.storage.artifacts import FilesStore

Connection = psycopg.AsyncConnection[DictRow]
OPEN = "of every open submission something is under way"
READ = "whoever an event is for has read it, or has it to read"
KEPT = "every id that is named is kept by its owner"
SERVED = "somebody serves each pool in which work waits"
DEAD = "no dead letter holds back work"


@pytest.fixture
async def bus(make_chassis, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bus]:
    monkeypatch.setattr(stuck_work, "_LOOK_SECONDS", 0.05)
    async with make_chassis(Service.TOPOLOGY) as chassis:
        yield chassis.bus


class Look:
    """An audit of one stack."""

    def __init__(self, connection: Connection, bus: Bus, folder: Path) -> None:
        self.connection, self.bus, self._store = connection, bus, FilesStore(folder)
        self.rollout, self.submission = uuid4(), uuid4()

    async def culprits(self) -> dict[str, list[str]]:
        found = [one async for one in stuck_work.check_stuck_work(self.connection, self.bus.js, ("client",))]
        found += [one async for one in check_dead_letters(self.connection, self.bus, self._store)]
        return {one.invariant: list(one.culprits) for one in found if not one.held}

    async def has(self, state: str, *, rollout: str | None = "planned", minutes: int = 5) -> None:
        """A submission in a state, with one rollout in a state."""
        values = {"submission": self.submission, "rollout": self.rollout, "state": state, "of": rollout, "age": minutes}
        await self.connection.execute(
            "insert into scheduler.submissions (submission_id, campaign, body, state, max_cost_microusd, created_at) "
            "values (%(submission)s, 'c', '{}', %(state)s, 0, now() - %(age)s * interval '1 minute')",
            values,
        )
        if rollout:
            await self.connection.execute(
                "insert into scheduler.rollouts (rollout_id, submission_id, campaign, body, pool, priority, state, "
                "changed_at, not_before) values (%(rollout)s, %(submission)s, 'c', '{}', 'docker', 1, %(of)s, "
                "now() - %(age)s * interval '1 minute', now() - %(age)s * interval '1 minute')", values)  # fmt: skip

    async def attempt(self, *, lease: str = "1 minute", closed: bool = False) -> None:
        await self.connection.execute(
            "insert into scheduler.attempts "
            "(rollout_id, attempt, executor, lease_expires, deadline, closed_at, outcome) values "
            "(%s, 1, 'e', now() + %s::interval, now(), case when %s then now() - interval '1 minute' end, 'solved')",
            [self.rollout, lease, closed])  # fmt: skip

    def ready(self) -> TaskReady:
        rollout = Rollout(
            rollout_id=self.rollout, submission_id=self.submission, campaign="c", scaffold="native", pool="docker",
            task=TaskInfo(name="t", digest="sha256:" + "0" * 64),
        )  # fmt: skip
        return TaskReady(submission_id=self.submission, rollout_id=self.rollout, rollout=rollout)

    async def buries(self, body: Record | None, consumer: str, subject: str = "") -> None:
        """Let a consumer give up a message."""
        source = next(one for one in durables() if one.name == consumer)
        message = cloudevents.encode(Envelope(body, "test")) if body else Message(subject, {}, b'{"task": 1}')
        await self.bus.js.publish(source.subject, message.payload, headers=message.headers or None)
        subscription = await self.bus.js.pull_subscribe_bind(durable=source.name, stream=source.stream)
        (fetched,) = await subscription.fetch(1, timeout=2)
        kept = Message(source.subject, message.headers, message.payload)
        identity, dead = dead_letter(fetched, kept, source.name, source.stream, "it broke", 5, "test")
        await self.bus.publish_message(dead, msg_id=str(identity), stream=Stream.DEAD)
        await fetched.term()


@pytest.fixture
def look(connection: Connection, bus: Bus, tmp_path: Path) -> Look:
    return Look(connection, bus, tmp_path)


async def test_of_a_stack_that_has_nothing_or_is_at_work_nothing_is_said(look: Look):
    assert await look.culprits() == {}
    await look.has("open", rollout="running")
    await look.attempt()
    assert await look.culprits() == {}


@pytest.mark.parametrize("rollout", [None, "curated", "failed"])
async def test_an_open_submission_of_which_nothing_can_move(look: Look, rollout: str | None):
    await look.has("open", rollout=rollout)
    assert await look.culprits() == {OPEN: [f"submission {look.submission} is open, and nothing of it can move"]}


async def test_a_rollout_that_runs_without_an_attempt(look: Look):
    await look.has("open", rollout="running")
    found = await look.culprits()
    assert found == {
        OPEN: [f"rollout {look.rollout} of submission {look.submission} runs, and no attempt of it is open"]
    }


async def test_an_attempt_whose_lease_nobody_ends(look: Look):
    await look.has("open", rollout="running")
    await look.attempt(lease="-5 minutes")
    (culprit,) = (await look.culprits())[OPEN]
    assert culprit.startswith(f"rollout {look.rollout} attempt 1: the lease of e ended")


async def test_a_ready_rollout_whose_message_is_gone(look: Look):
    await look.has("open", rollout="ready")
    assert list(await look.culprits()) == [OPEN]
    await look.bus.publish(look.ready())
    assert OPEN not in await look.culprits()


async def test_a_planned_rollout_that_nobody_makes_ready(look: Look):
    await look.has("open", rollout="planned")
    assert "nobody makes it so" in (await look.culprits())[OPEN][0]


async def test_a_pool_that_nobody_serves(look: Look):
    await look.has("open", rollout="ready")
    await look.bus.publish(look.ready())
    assert await look.culprits() == {SERVED: ["pool docker: 1 rollouts wait, and no executor asks for them"]}
    source = durable(Service.EXECUTOR, "task.ready", "docker.normal")
    subscription = await look.bus.js.pull_subscribe_bind(durable=source.name, stream=source.stream)
    await subscription.fetch(1, timeout=2)
    assert await look.culprits() == {}


async def test_an_event_that_was_announced_and_never_read(look: Look):
    """As when somebody took its message id beforehand: published, acknowledged as a duplicate, and gone."""
    await look.has("open", rollout="closed")
    await look.attempt(closed=True)
    expected = f"attempt.closed of rollout {look.rollout} attempt 1: the collector does not know it"
    assert await look.culprits() == {READ: [expected]}
    await look.bus.js.publish("attempt.closed", b"{}")  # it has one to read: this may be it
    assert await look.culprits() == {}


async def test_a_verification_that_nobody_answers(look: Look):
    await look.has("done", rollout="curated")
    trajectory = uuid4()
    await trajectory_of(look, trajectory)
    await look.connection.execute(
        "insert into quality.scorings (trajectory_id, body, created_at) values (%s, '{}', now() - interval '1 minute')",
        [trajectory])  # fmt: skip
    assert await look.culprits() == {READ: [f"verification.requested for trajectory {trajectory}: nobody answered"]}
    await look.bus.js.publish("verification.requested.docker.quality", b"{}")
    assert await look.culprits() == {}


async def trajectory_of(look: Look, trajectory: UUID) -> None:
    columns: dict[str, Any] = {
        "trajectory_id": trajectory, "rollout_id": look.rollout, "attempt": 1, "submission_id": look.submission,
    }  # fmt: skip
    rows = await look.connection.execute(
        "select column_name, data_type from information_schema.columns where table_schema = 'catalogue' "
        "and table_name = 'trajectories' and is_nullable = 'NO' and column_default is null and is_generated = 'NEVER'"
    )
    fillers = {"text": "x", "integer": 1, "bigint": 1, "boolean": True, "jsonb": "{}", "double precision": 1.0}
    for row in await rows.fetchall():
        columns.setdefault(row["column_name"], fillers.get(row["data_type"]))
    columns["outcome"] = "solved"
    names = ", ".join(columns)
    places = ", ".join(f"%({name})s" for name in columns)
    await look.connection.execute(f"insert into catalogue.trajectories ({names}) values ({places})".encode(), columns)


async def test_ids_that_are_named_and_kept_by_nobody(look: Look):
    await look.connection.execute(
        "insert into catalogue.attempts (rollout_id, attempt, submission_id, campaign) values (%s, 3, %s, 'c')",
        [look.rollout, look.submission])  # fmt: skip
    await look.connection.execute(
        "insert into catalogue.submissions (submission_id, campaign, body) values (%s, 'c', '{}')", [look.submission]
    )
    assert await look.culprits() == {
        KEPT: [
            f"the catalogue knows rollout {look.rollout} attempt 3, which the scheduler never granted",
            f"the catalogue knows submission {look.submission}, which the scheduler does not",
        ]
    }


async def test_a_dead_letter_that_holds_back_a_rollout(look: Look):
    await look.has("open", rollout="running")
    await look.attempt()
    await look.buries(look.ready(), "executor-task-ready-docker-normal")
    (culprit,) = (await look.culprits())[DEAD]
    assert culprit.endswith(f"executor-task-ready-docker-normal: rollout {look.rollout} is running")
    await look.connection.execute("update scheduler.rollouts set state = 'curated'")
    await look.connection.execute("update scheduler.submissions set state = 'done'")
    await look.connection.execute("delete from scheduler.attempts")
    assert await look.culprits() == {}


async def test_a_dead_letter_of_a_submission_that_nobody_answered(look: Look):
    await look.buries(TaskSubmitted(task="t", submission_id=look.submission), "scheduler-task-submitted-client")
    (culprit,) = (await look.culprits())[DEAD]
    assert culprit.endswith("scheduler-task-submitted-client: a submission was never answered")
    await look.has("rejected", rollout=None)
    assert await look.culprits() == {}


async def test_a_dead_letter_of_a_cancel_that_was_not_carried_out(look: Look):
    await look.has("open", rollout="running")
    await look.attempt()
    await look.buries(CancelRequested(submission_id=look.submission), "scheduler-cancel-requested-client")
    assert (await look.culprits())[DEAD][0].endswith(f"submission {look.submission} is open")


async def test_a_malformed_submission_was_answered_and_holds_back_nothing(look: Look):
    await look.buries(None, "scheduler-task-submitted-client", "task.submitted.client")
    assert await look.culprits() == {}
