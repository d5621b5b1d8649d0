"""Every way a message can be settled, over the real server: one suite for all three kinds of consumers."""

import asyncio
import base64
import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from listening import KINDS, SUBMITTED, Listen, RecordingHandler, listen_with, shorten_ack_wait, submitted
from synthbench.chassis import batches, consumer, events, processor
from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import NoSuchLetter, resend_dead, show_dead
from synthbench.chassis.errors import Drop, Poison, Retry, TopologyError, Transient
from synthbench.chassis.process import Chassis
from synthbench.chassis.pull import require
from synthbench.chassis.settle import MAX_DELIVERIES
from synthbench.contracts.cloudevents import CLAIM_CHECK_BYTES
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.registry import Durable, Stream
from synthbench.embedded.nats import EmbeddedNats
from synthbench.storage.artifacts import FilesStore

if TYPE_CHECKING:
    from bus_fixtures import OpenService, Watch


@pytest.fixture(params=KINDS)
def listen(request: pytest.FixtureRequest) -> Listen:
    return functools.partial(listen_with, request.param)


async def fetch_by_hand(bus: Bus, source: Durable, seconds: float = 10.0):
    subscription = await bus.js.pull_subscribe_bind(durable=source.name, stream=source.stream)
    return (await subscription.fetch(1, timeout=seconds))[0]


async def test_a_handler_that_returns_acknowledges(listen: Listen, chassis: Chassis, watch: "Watch"):
    handler = RecordingHandler()
    await listen(chassis, handler)
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    event_id = await chassis.bus.publish(submitted(), trace=trace)
    await watch.until(lambda: handler.seen)
    await watch.settled(chassis.bus, SUBMITTED)
    (one,) = handler.seen
    assert (one.envelope.id, one.envelope.body, one.envelope.trace) == (event_id, submitted(), trace)
    assert one.deliveries == 1
    assert await watch.kept(chassis.bus, SUBMITTED.stream) == 0


async def test_a_retry_is_spaced_and_never_dies(listen: Listen, chassis: Chassis, watch: "Watch"):
    soon = [Retry("busy", delay=0.01)] * (MAX_DELIVERIES + 2)
    handler = RecordingHandler(Retry("busy", delay=0.4), *soon, None)
    await listen(chassis, handler)
    await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.finished)
    await watch.settled(chassis.bus, SUBMITTED)
    assert handler.times[1] - handler.times[0] >= 0.39
    assert [one.deliveries for one in handler.seen] == list(range(1, MAX_DELIVERIES + 5))
    assert await watch.kept(chassis.bus, Stream.DEAD) == 0


async def test_an_outage_never_kills_a_message(listen: Listen, chassis: Chassis, watch: "Watch"):
    handler = RecordingHandler(*[Transient("Postgres is away")] * (MAX_DELIVERIES + 2), None)
    await listen(chassis, handler)
    await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.finished)
    await watch.settled(chassis.bus, SUBMITTED)
    assert await watch.kept(chassis.bus, Stream.DEAD) == 0


async def test_a_drop_is_acknowledged(listen: Listen, chassis: Chassis, watch: "Watch"):
    handler = RecordingHandler(Drop("cancelled"), None)
    await listen(chassis, handler)
    await chassis.bus.publish(submitted("one"))
    await chassis.bus.publish(submitted("two"))
    await watch.until(lambda: handler.finished)
    await watch.settled(chassis.bus, SUBMITTED)
    assert "two" in handler.tasks
    assert await watch.kept(chassis.bus, Stream.DEAD) == 0


async def test_a_failing_handler_gets_its_chances_then_the_letter_says_why(
    listen: Listen, chassis: Chassis, watch: "Watch"
):
    handler = RecordingHandler(ValueError("a bug\nof ours"))
    await listen(chassis, handler)
    await chassis.bus.publish(submitted())
    (kept,) = await watch.letters(chassis.bus)
    await watch.settled(chassis.bus, SUBMITTED)
    assert len(handler.seen) == MAX_DELIVERIES
    assert (kept.letter.error, kept.letter.deliveries) == ("ValueError: a bug of ours", MAX_DELIVERIES)


async def test_outages_between_failures_do_not_count(listen: Listen, chassis: Chassis, watch: "Watch"):
    failures = [ValueError("bug")] * (MAX_DELIVERIES - 1)
    handler = RecordingHandler(*failures, *[Transient("away"), Retry("busy", delay=0.01)] * 3, None)
    await listen(chassis, handler)
    await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.finished)
    assert await watch.kept(chassis.bus, Stream.DEAD) == 0


async def test_poison_is_kept_whole_and_can_be_sent_again(listen: Listen, chassis: Chassis, watch: "Watch"):
    bus = chassis.bus
    handler = RecordingHandler(Poison("no such task"), None)
    await listen(chassis, handler)
    event_id = await bus.publish(submitted(campaign="c1"))
    sequence = await watch.last_sequence(bus, SUBMITTED.stream)
    (kept,) = await watch.letters(bus)
    letter = kept.letter
    assert base64.b64decode(letter.payload) == submitted(campaign="c1").to_json()
    assert (letter.stream, letter.consumer, letter.subject) == (SUBMITTED.stream, SUBMITTED.name, "task.submitted")
    assert (letter.stream_sequence, letter.deliveries, letter.error) == (sequence, 1, "Poison: no such task")
    assert letter.headers["ce-id"] == str(event_id)
    assert letter.headers["ce-campaign"] == "c1"
    await watch.settled(bus, SUBMITTED)

    assert await resend_dead(bus, kept.sequence) == letter
    await watch.until(lambda: handler.finished)
    again = handler.seen[-1]
    assert again.envelope.id == event_id
    assert again.envelope.body == submitted(campaign="c1")
    assert again.message.headers is not None
    assert again.message.headers["Nats-Msg-Id"] not in (letter.headers["Nats-Msg-Id"], str(event_id))
    with pytest.raises(NoSuchLetter, match="dead list"):
        await show_dead(bus, kept.sequence)


async def test_what_is_no_event_goes_to_the_dead_letters_and_the_consumer_goes_on(
    listen: Listen, chassis: Chassis, watch: "Watch"
):
    handler = RecordingHandler()
    await listen(chassis, handler)
    js = chassis.bus.js
    await js.publish("task.submitted", b'{"task": ', stream=SUBMITTED.stream)
    await js.publish("task.submitted", b'{"task": "x", "smaples": 3, "seed": "many"}', stream=SUBMITTED.stream)
    await js.publish("task.submitted", b"{}", stream=SUBMITTED.stream, headers={"ce-type": "synthbench.task.ready.v1"})
    await js.publish("task.submitted", b"\xff\x00", stream=SUBMITTED.stream)
    await chassis.bus.publish(submitted("good"))
    await watch.until(lambda: handler.finished)
    errors = [kept.letter.error for kept in await watch.letters(chassis.bus, 4)]
    assert errors[0].startswith("MalformedEvent: task.submitted: Invalid JSON")
    assert "smaples: Extra inputs are not permitted" in errors[1]
    assert "seed: Input should be a valid integer" in errors[1]
    assert "'synthbench.task.ready.v1' belongs on subject 'task.submitted'" in errors[2]
    assert all("\n" not in error for error in errors)
    assert handler.tasks == ["good"]
    await watch.settled(chassis.bus, SUBMITTED)


async def test_bare_json_is_an_event_with_an_id_that_stays(listen: Listen, chassis: Chassis, watch: "Watch"):
    handler = RecordingHandler(Retry("once more", delay=0.01), None)
    await listen(chassis, handler)
    await chassis.bus.nc.publish("task.submitted", b'{"task": "by-hand"}')
    await watch.until(lambda: handler.finished)
    first, second = handler.seen
    assert first.envelope.id == second.envelope.id == derived_id("event", SUBMITTED.stream, first.sequence)
    assert second.envelope.body == submitted("by-hand")


async def test_a_large_payload_goes_through_the_store(listen: Listen, chassis: Chassis, watch: "Watch", tmp_path: Path):
    store = FilesStore(tmp_path / "artifacts")
    large = submitted(scaffold_args={"prompt": "x" * CLAIM_CHECK_BYTES})
    with pytest.raises(ValueError, match="no store for large payloads"):
        await chassis.bus.publish(large)
    chassis.bus.use_payload_store(store)
    handler = RecordingHandler()
    await listen(chassis, handler)
    await chassis.bus.publish(large)
    await watch.until(lambda: handler.finished)
    (one,) = handler.seen
    assert one.envelope.body == large
    assert len(one.message.data) < 1000
    assert one.message.headers is not None
    assert await store.get(one.message.headers["ce-dataref"]) == large.to_json()


async def test_a_large_payload_that_is_gone_dies_and_one_whose_store_is_away_waits(
    listen: Listen, chassis: Chassis, watch: "Watch", tmp_path: Path
):
    root = tmp_path / "artifacts"
    chassis.bus.use_payload_store(FilesStore(root))
    for filler in "xy":
        await chassis.bus.publish(submitted(filler, scaffold_args={"prompt": filler * CLAIM_CHECK_BYTES}))
    await asyncio.to_thread(root.rename, tmp_path / "away")
    root.touch()  # a folder that is a file: neither there nor not there
    handler = RecordingHandler()
    await listen(chassis, handler)
    await asyncio.sleep(0.5)
    assert await watch.kept(chassis.bus, Stream.DEAD) == 0
    root.unlink()
    await asyncio.to_thread((tmp_path / "away").rename, root)
    await watch.until(lambda: handler.finished == 2)

    await chassis.bus.publish(submitted("z", scaffold_args={"prompt": "z" * CLAIM_CHECK_BYTES}))
    await watch.until(lambda: handler.finished == 3)
    lost = submitted("lost", scaffold_args={"prompt": "w" * CLAIM_CHECK_BYTES}).to_json()
    reference = await FilesStore(tmp_path / "elsewhere").put(lost)
    await chassis.bus.js.publish(
        "task.submitted", reference.to_json(), stream=SUBMITTED.stream, headers={"ce-dataref": reference.uri}
    )
    (kept,) = await watch.letters(chassis.bus)
    assert "ArtifactNotFound" in kept.letter.error


async def test_a_malformed_message_that_nearly_fills_the_server_is_kept_whole(
    listen: Listen, chassis: Chassis, watch: "Watch", tmp_path: Path
):
    store = FilesStore(tmp_path / "artifacts")
    chassis.bus.use_payload_store(store)
    handler = RecordingHandler()
    await listen(chassis, handler)
    payload = b'{"nonsense": "' + b"x" * 7_500_000 + b'"}'
    await chassis.bus.js.publish("task.submitted", payload, stream=SUBMITTED.stream)
    (kept,) = await watch.letters(chassis.bus)
    assert await store.get(kept.letter.headers["ce-dataref"]) == payload
    await watch.settled(chassis.bus, SUBMITTED)


async def test_a_handler_may_take_longer_than_ack_wait(
    listen: Listen, chassis: Chassis, watch: "Watch", monkeypatch: pytest.MonkeyPatch
):
    beating = functools.partial(processor.heartbeats, every=0.15)
    monkeypatch.setattr(processor, "heartbeats", beating)
    monkeypatch.setattr(batches, "heartbeats", beating)
    await shorten_ack_wait(chassis.bus, SUBMITTED, 0.5)
    handler = RecordingHandler(seconds=1.5)
    await listen(chassis, handler)
    await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.finished)
    await watch.settled(chassis.bus, SUBMITTED)
    assert len(handler.seen) == 1


async def test_consumers_go_on_after_a_restart_and_a_retried_publish_is_stored_once(
    listen: Listen, own_chassis: Chassis, own_nats: EmbeddedNats, watch: "Watch", monkeypatch: pytest.MonkeyPatch
):
    for module in (batches, consumer, events):
        monkeypatch.setattr(
            module, "LONG_POLL_SECONDS", 1.0
        )  # the wait that is open when the server goes is lost with it
    bus = own_chassis.bus
    handler = RecordingHandler()
    await listen(own_chassis, handler)
    await bus.publish(submitted("before"))
    await watch.until(lambda: handler.finished == 1)

    await own_nats.stop()
    again = uuid7()
    publishing = asyncio.create_task(bus.publish(submitted("meanwhile"), id=again, timeout=20))
    await asyncio.sleep(2.5)  # longer than one try, so that several are under way
    assert "not connected to NATS" in (await own_chassis.health.problems())["bus"]
    await own_nats.start()
    assert await publishing == again
    assert await bus.publish(submitted("meanwhile"), id=again) == again
    await bus.publish(submitted("after"))
    await watch.until(lambda: handler.finished == 3)
    await watch.settled(bus, SUBMITTED)
    assert sorted(handler.tasks) == ["after", "before", "meanwhile"]
    assert await watch.last_sequence(bus, SUBMITTED.stream) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_draining_lets_the_running_handler_finish(
    kind: str, nats: EmbeddedNats, chassis: Chassis, open_service: "OpenService", watch: "Watch"
):
    one = await open_service(nats.url)
    handler = RecordingHandler(seconds=0.5)
    await listen_with(kind, one, handler)
    await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.seen)
    await one.drain()
    assert handler.finished == 1
    await watch.settled(chassis.bus, SUBMITTED)
    await chassis.bus.publish(submitted("later"))
    await asyncio.sleep(0.1)
    assert len(handler.seen) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_that_is_too_slow_gives_its_message_back(
    kind: str, nats: EmbeddedNats, chassis: Chassis, open_service: "OpenService", watch: "Watch"
):
    one = await open_service(nats.url, drain_seconds=0.2)
    handler = RecordingHandler(seconds=60)
    await listen_with(kind, one, handler)
    event_id = await chassis.bus.publish(submitted())
    await watch.until(lambda: handler.seen)
    began = time.monotonic()
    await one.drain()
    assert time.monotonic() - began < 5
    message = await fetch_by_hand(chassis.bus, SUBMITTED, 5)
    assert message.headers is not None
    assert message.headers["ce-id"] == str(event_id)
    assert message.metadata.num_delivered == 2


async def test_a_durable_that_does_not_exist_says_how_to_make_it(chassis: Chassis):
    await chassis.bus.js.delete_consumer(SUBMITTED.stream, SUBMITTED.name)
    with pytest.raises(TopologyError, match=r"no consumer scheduler-task-submitted .* run `python -m .*topology`"):
        await require(chassis.bus.js, SUBMITTED, patience=0.1)
