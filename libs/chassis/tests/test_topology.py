"""The topology step: makes what is missing, changes what may change, refuses the rest in one line."""

import contextlib

import pytest
from nats.js import api
from nats.js.errors import NotFoundError
from structlog.stdlib import BoundLogger

from listening import SUBMITTED
from synthbench.chassis import topology
from synthbench.chassis.errors import TopologyError
from synthbench.chassis.process import Chassis
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.registry import Stream, durables
from synthbench.contracts.streams import streams
from synthbench.embedded.children import free_port
from synthbench.embedded.nats import EmbeddedNats


async def wipe(chassis: Chassis) -> None:
    for info in await chassis.bus.js.streams_info():
        with contextlib.suppress(NotFoundError):
            await chassis.bus.js.delete_stream(str(info.config.name))


async def test_it_makes_everything_once(chassis: Chassis):
    await wipe(chassis)
    everything = {f"stream {spec.name}" for spec in streams()} | {f"consumer {one.name}" for one in durables()}
    first = await ensure_topology(chassis.bus.js)
    assert set(first.created) == everything
    again = await ensure_topology(chassis.bus.js)
    assert (again.created, again.updated, set(again.unchanged)) == ([], [], everything)


async def test_the_streams_are_as_declared(chassis: Chassis):
    for spec in streams():
        found = (await chassis.bus.js.stream_info(spec.name)).config
        assert found.subjects is not None
        assert sorted(found.subjects) == sorted(spec.subjects)
        assert (found.retention, found.max_bytes, found.discard) == (spec.retention, spec.max_bytes, "new")
        assert (found.max_msgs_per_subject, found.discard_new_per_subject) == (
            spec.max_per_subject, spec.max_per_subject > 0,
        )  # fmt: skip
        assert found.duplicate_window == 600
    for one in durables():
        found = (await chassis.bus.js.consumer_info(one.stream, one.name)).config
        assert (found.filter_subject, found.max_deliver, found.ack_policy) == (one.subject, -1, "explicit")


async def test_a_changed_limit_is_updated_and_messages_stay(chassis: Chassis):
    await chassis.bus.publish(TaskSubmitted(task="t"))
    report = await ensure_topology(chassis.bus.js, stream_bytes={SUBMITTED.stream: 1_000_000})
    assert (report.created, report.updated) == ([], [f"stream {SUBMITTED.stream}"])
    info = await chassis.bus.js.stream_info(SUBMITTED.stream)
    assert (info.config.max_bytes, info.state.messages) == (1_000_000, 1)


async def test_a_changed_durable_is_updated(chassis: Chassis):
    one = next(durables())
    config = (await chassis.bus.js.consumer_info(one.stream, one.name)).config
    await chassis.bus.js.add_consumer(one.stream, config.evolve(ack_wait=1.0, max_ack_pending=3))
    report = await ensure_topology(chassis.bus.js)
    assert report.updated == [f"consumer {one.name}"]
    found = (await chassis.bus.js.consumer_info(one.stream, one.name)).config
    assert (found.ack_wait, found.max_ack_pending) == (config.ack_wait, config.max_ack_pending)


async def test_an_impossible_change_is_refused_in_one_line(chassis: Chassis):
    await wipe(chassis)
    spec = next(spec for spec in streams() if spec.name == Stream.TASKS)
    await chassis.bus.js.add_stream(api.StreamConfig(name="TASKS", subjects=list(spec.subjects)))
    with pytest.raises(TopologyError, match=r"^stream TASKS: the server refuses the change: .*retention") as refused:
        await ensure_topology(chassis.bus.js)
    assert "\n" not in str(refused.value)
    await wipe(chassis)


def test_the_command_says_what_it_did(
    nats: EmbeddedNats, log: BoundLogger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(topology, "setup_logging", lambda *_: log)  # the log of this process stays as it is
    monkeypatch.setenv("SYNTHBENCH_NATS_URL", nats.url)
    monkeypatch.setenv("SYNTHBENCH_NATS_MAX_BYTES", "2000000")
    assert topology.main() == 0
    assert topology.main() == 0
    assert capsys.readouterr().out.endswith(
        f"created 0, updated 0, unchanged {len([*streams(), *durables()])}, removed 0\n"
    )


def test_the_command_fails_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("SYNTHBENCH_NATS_URL", f"nats://127.0.0.1:{free_port()}")
    monkeypatch.setenv("SYNTHBENCH_NATS_REPLICAS", "9")
    assert topology.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("environment SYNTHBENCH_NATS_REPLICAS: ")
    assert said.count("\n") == 1
