"""What each kind of consumer does that the others do not: several events, priorities, permits, batches."""

import asyncio
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from listening import SUBMITTED, RecordingHandler, shorten_ack_wait, submitted
from synthbench.chassis import batches, processor
from synthbench.chassis.batches import BatchConsumer
from synthbench.chassis.consumer import Consumer
from synthbench.chassis.delivery import Delivery, Malformed
from synthbench.chassis.errors import Poison, Transient
from synthbench.chassis.events import EventSubscribers
from synthbench.chassis.process import Chassis
from synthbench.contracts.events import CancelRequested, TaskReady, TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.loose import as_object
from synthbench.contracts.records import Priority, Rollout, TaskInfo
from synthbench.contracts.registry import Service, Stream, durable
from synthbench.embedded.nats import EmbeddedNats
from synthbench.storage.artifacts import FilesStore

if TYPE_CHECKING:
    from bus_fixtures import OpenService, Watch


async def test_event_subscribers_tell_the_sender_of_a_broken_event(chassis: Chassis, watch: "Watch"):
    told: list[tuple[UUID, str, object, list[str]]] = []
    answers = [Transient("cannot answer now"), None]

    async def on_malformed(malformed: Malformed) -> None:
        fields = [item.field for item in malformed.error.errors]
        told.append((malformed.event_id, malformed.sender, malformed.content, fields))
        if (answer := answers[min(len(told), 2) - 1]) is not None:
            raise answer

    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, RecordingHandler(), on_malformed=on_malformed)
    await subscribers.start()
    sent = uuid7()
    content = {"task": "x", "smaples": 3}
    headers = {"ce-id": str(sent), "ce-type": "synthbench.task.submitted.v1"}
    await chassis.bus.js.publish("task.submitted", json.dumps(content).encode(), headers=headers)
    await watch.letters(chassis.bus)
    assert told == [(sent, "operator", content, ["smaples"])] * 2


_ID = "0196f000-0000-7000-8000-00000000000a"
_GONE = {"uri": "artifact://sha256/" + "0" * 64, "digest": "sha256:" + "0" * 64, "size": 3}


@pytest.mark.parametrize(
    ("payload", "dataref", "field", "named"),
    [
        (f'{{"submission_id": "{_ID}", "task": {"[" * 5000}{"]" * 5000}}}', False, "", _ID),
        (f'{{"submission_id": "{_ID}", "task": "a\\u0000b"}}', False, "task", _ID),
        (f'{{"submission_id": "{_ID}", "task": "\\ud800"}}', False, "", _ID),
        (
            f'{{"submission_id": "{_ID}", "task": "t", "max_cost_microusd": {10**30}}}',
            False,
            "max_cost_microusd",
            _ID,
        ),
        (
            f'{{"submission_id": "{_ID}", "task": "t", "seed": {"9" * 5000}}}',
            False,
            "",
            _ID,
        ),
        (
            f'{{"submission_id": "{_ID}", "task": "t", "route": "sim/ex\\u0000pert"}}',
            False,
            "route",
            _ID,
        ),
        (
            f'{{"submission_id": "{_ID}", "task": "t", "scaffold_args": {{"command": "tr \\u0000 x"}}}}',
            False,
            "scaffold_args.command",
            _ID,
        ),
        (
            f'{{"submission_id": "{_ID}", "task": "t", "scaffold_args": {{"a\\u0000": "b"}}}}',
            False,
            "scaffold_args.a\u2400.[key]",
            _ID,
        ),
        (
            f'{{"submission_id": "{_ID}", "task": "t", "campaign_cost_microusd": {10**30}}}',
            False,
            "campaign_cost_microusd",
            _ID,
        ),
        (f'{{"submission_id": "{_ID}", "task": "t", "max_tokens": {10**40}}}', False, "max_tokens", _ID),
        (f'{{"submission_id": "{_ID}", "task": "t", "seed": {10**200}}}', False, "seed", _ID),
        ('{"task": ', False, "", None),
        ('{"uri": 3}', True, "uri", None),
        (json.dumps(_GONE), True, "", None),
    ],
    ids=[
        "deep",
        "NUL",
        "surrogate",
        "cost",
        "digits",
        "NUL in route",
        "NUL in argument",
        "NUL in key",
        "campaign cost",
        "tokens",
        "seed",
        "no JSON",
        "no reference",
        "body gone",
    ],
)
async def test_whatever_is_wrong_with_a_submission_its_sender_is_told(
    chassis: Chassis, watch: "Watch", tmp_path: Path, payload: str, dataref: bool, field: str, named: str | None
):
    told: list[Malformed] = []

    async def on_malformed(malformed: Malformed) -> None:
        told.append(malformed)

    chassis.bus.use_payload_store(FilesStore(tmp_path))
    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, RecordingHandler(), on_malformed=on_malformed)
    await subscribers.start()
    headers = {"ce-type": "synthbench.task.submitted.v1"} | ({"ce-dataref": "artifact://x"} if dataref else {})
    await chassis.bus.js.publish("task.submitted", payload.encode(), headers=headers)
    await watch.until(lambda: told, 30)
    (malformed,) = told
    assert field in [error.field for error in malformed.error.errors]
    assert all(error.message for error in malformed.error.errors)
    assert as_object(malformed.content).get("submission_id") == named


async def test_a_sender_is_told_of_what_a_handler_gave_up(chassis: Chassis, watch: "Watch"):
    told: list[Malformed] = []

    async def on_malformed(malformed: Malformed) -> None:
        told.append(malformed)

    async def fails(_delivery: Delivery[TaskSubmitted]) -> None:
        raise Poison("it cannot be kept")

    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, fails, on_malformed=on_malformed)
    await subscribers.start()
    content = {"task": "t", "submission_id": _ID}
    await chassis.bus.js.publish("task.submitted", json.dumps(content).encode())
    await watch.until(lambda: told)
    assert (told[0].content, str(told[0].error)) == (content, "not handled: Poison: it cannot be kept")


async def test_event_subscribers_serve_several_events_side_by_side(chassis: Chassis, watch: "Watch"):
    slow, quick = RecordingHandler(seconds=1), RecordingHandler()
    subscribers = EventSubscribers(chassis)
    subscribers.on(TaskSubmitted, slow)
    subscribers.on(CancelRequested, quick)
    await subscribers.start()
    await chassis.bus.publish(submitted())
    await watch.until(lambda: slow.seen)
    await chassis.bus.publish(CancelRequested(campaign="c"))
    await watch.until(lambda: quick.finished)
    assert not slow.finished


def ready(priority: Priority) -> TaskReady:
    rollout = Rollout(
        rollout_id=uuid7(), submission_id=uuid7(), campaign="c", task=TaskInfo(name="t", digest="sha256:" + "0" * 64),
        scaffold="native", pool="bubblewrap", priority=priority,
    )  # fmt: skip
    return TaskReady(submission_id=rollout.submission_id, rollout_id=rollout.rollout_id, rollout=rollout)


async def test_high_priority_is_served_first(
    nats: EmbeddedNats, chassis: Chassis, open_service: "OpenService", watch: "Watch"
):
    executor = await open_service(nats.url, Service.EXECUTOR)
    for priority in (Priority.LOW, Priority.NORMAL, Priority.HIGH) * 3:
        await chassis.bus.publish(ready(priority))
    handler = RecordingHandler(seconds=0.02)
    queues = [durable(Service.EXECUTOR, "task.ready", f"bubblewrap.{priority}") for priority in Priority]
    Consumer(executor, queues, handler).start()
    await watch.until(lambda: handler.finished == 9)
    served = [one.durable.name.rpartition("-")[2] for one in handler.seen]
    assert served == ["high"] * 3 + ["normal"] * 3 + ["low"] * 3


async def test_no_more_handlers_than_permits_and_no_message_waits_in_our_hands(chassis: Chassis, watch: "Watch"):
    handler = RecordingHandler(seconds=0.3)
    for number in range(6):
        await chassis.bus.publish(submitted(f"task-{number}"))
    Consumer(chassis, SUBMITTED, handler, permits=asyncio.Semaphore(2)).start()
    await watch.until(lambda: len(handler.seen) == 2)
    await asyncio.sleep(0.1)
    info = await chassis.bus.js.consumer_info(SUBMITTED.stream, SUBMITTED.name)
    assert (len(handler.seen), info.num_ack_pending, info.num_pending) == (2, 2, 4)
    await watch.until(lambda: handler.finished == 6)


async def test_a_batch_is_one_call_and_acknowledged_together(chassis: Chassis, watch: "Watch"):
    sizes: list[int] = []
    pending: list[int] = []

    async def handler(deliveries: Sequence[Delivery]) -> None:
        sizes.append(len(deliveries))
        info = await chassis.bus.js.consumer_info(SUBMITTED.stream, SUBMITTED.name)
        pending.append(info.num_ack_pending or 0)

    for number in range(30):
        await chassis.bus.publish(submitted(f"task-{number}"))
    BatchConsumer(chassis, SUBMITTED, handler, batch=20).start()
    await watch.until(lambda: sum(sizes) == 30)
    await watch.settled(chassis.bus, SUBMITTED)
    assert sizes == [20, 10]
    assert pending[0] in (20, 30)  # with those that came in behind it, if they did by then
    assert pending[1] == 10


async def test_while_a_batch_is_worked_on_the_next_one_comes_in_and_stays_ours(
    chassis: Chassis, watch: "Watch", monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(batches, "heartbeats", functools.partial(processor.heartbeats, every=0.15))
    await shorten_ack_wait(chassis.bus, SUBMITTED, 0.5)
    in_hand: list[int] = []
    handled: list[int] = []

    async def handler(deliveries: Sequence[Delivery]) -> None:
        await asyncio.sleep(1.2)
        info = await chassis.bus.js.consumer_info(SUBMITTED.stream, SUBMITTED.name)
        in_hand.append(info.num_ack_pending or 0)
        handled.extend(one.deliveries for one in deliveries)

    for number in range(30):
        await chassis.bus.publish(submitted(f"task-{number}"))
    BatchConsumer(chassis, SUBMITTED, handler, batch=10).start()
    await watch.until(lambda: len(handled) == 30)
    await watch.settled(chassis.bus, SUBMITTED)
    assert handled == [1] * 30
    assert in_hand == [20, 20, 10]


async def test_what_came_in_behind_the_last_batch_is_given_back_at_once(
    nats: EmbeddedNats, chassis: Chassis, open_service: "OpenService", watch: "Watch"
):
    one = await open_service(nats.url)
    begun, handled = asyncio.Event(), list[str]()

    async def handler(deliveries: Sequence[Delivery]) -> None:
        begun.set()
        await asyncio.sleep(0.5)
        handled.extend(str(getattr(one.envelope.body, "task", "")) for one in deliveries)

    for number in range(20):
        await chassis.bus.publish(submitted(f"task-{number}"))
    first = BatchConsumer(one, SUBMITTED, handler, batch=10)
    first.start()
    await begun.wait()
    await asyncio.sleep(0.2)
    await first.drain(5)
    assert handled == [f"task-{number}" for number in range(10)]
    BatchConsumer(chassis, SUBMITTED, handler, batch=10).start()
    await watch.until(lambda: len(handled) == 20)
    await watch.settled(chassis.bus, SUBMITTED)
    assert sorted(handled) == sorted(f"task-{number}" for number in range(20))


async def test_one_bad_message_does_not_drag_down_its_batch(chassis: Chassis, watch: "Watch"):
    stored: list[str] = []

    async def handler(deliveries: Sequence[Delivery]) -> None:
        tasks = [str(getattr(one.envelope.body, "task", "")) for one in deliveries]
        if "task-3" in tasks:
            raise Poison("task-3 is bad")
        if "task-5" in tasks and "again" not in stored:
            stored.append("again")
            raise ValueError("fails once")
        stored.extend(tasks)

    for number in range(8):
        await chassis.bus.publish(submitted(f"task-{number}"))
    BatchConsumer(chassis, SUBMITTED, handler).start()
    (kept,) = await watch.letters(chassis.bus)
    await watch.settled(chassis.bus, SUBMITTED)
    assert kept.letter.error == "Poison: task-3 is bad"
    assert sorted(stored) == ["again", *(f"task-{number}" for number in range(8) if number != 3)]


async def test_a_batch_that_is_tried_one_by_one_stays_ours_meanwhile(
    chassis: Chassis, watch: "Watch", monkeypatch: pytest.MonkeyPatch
):
    beating = functools.partial(processor.heartbeats, every=0.15)
    monkeypatch.setattr(processor, "heartbeats", beating)
    monkeypatch.setattr(batches, "heartbeats", beating)
    await shorten_ack_wait(chassis.bus, SUBMITTED, 0.5)
    handled: list[int] = []

    async def handler(deliveries: Sequence[Delivery]) -> None:
        if len(deliveries) > 1:
            raise ValueError("too many at once")
        await asyncio.sleep(0.3)
        handled.extend(one.deliveries for one in deliveries)

    for number in range(5):
        await chassis.bus.publish(submitted(f"task-{number}"))
    BatchConsumer(chassis, SUBMITTED, handler).start()
    await watch.until(lambda: len(handled) == 5)
    await watch.settled(chassis.bus, SUBMITTED)
    assert handled == [1] * 5


async def test_a_letter_is_written_before_the_message_is_given_up(chassis: Chassis, watch: "Watch"):
    """The DEAD stream is full: the message stays where it is until there is room."""
    js = chassis.bus.js
    config = (await js.stream_info(Stream.DEAD)).config
    await js.update_stream(config.evolve(max_bytes=1))
    handler = RecordingHandler(Poison("bad"))
    Consumer(chassis, SUBMITTED, handler).start()
    await shorten_ack_wait(chassis.bus, SUBMITTED, 1.0)
    await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.seen)
    await asyncio.sleep(0.5)
    info = await js.consumer_info(SUBMITTED.stream, SUBMITTED.name)
    assert info.num_ack_pending == 1
    await js.update_stream(config)
    await watch.letters(chassis.bus)
    await watch.settled(chassis.bus, SUBMITTED)
