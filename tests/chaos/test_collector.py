"""Collectors, NATS and Postgres killed at random: every step and every trajectory once, and every digest right.

Attempts come as executors and the scheduler send them: each step in the journal first, then on the bus; the closing
again and again until it is heard. `FULL=1` is 1,000 attempts of 10 steps and 30 kills at least.
"""

import asyncio
import contextlib
import os
import random
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import nats
import pytest
import structlog
from nats.errors import Error as NatsError
from nats.js import api
from nats.js.errors import Error as JetStreamError
from pydantic import SecretStr

from bench.collectors import Servers, servers, steps_of
from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import Transient
from synthbench.contracts.events import AttemptClosed, AttemptFinished, StepRecorded, TrajectoryDone
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.records import Outcome, Rollout, TaskInfo
from synthbench.contracts.registry import Service
from synthbench.contracts.scope import AttemptScope
from synthbench.contracts.steps import step_digest
from synthbench.contracts.trajectory import AttemptContext
from synthbench.executor.announcing import EventAnnouncer, RecentEvents
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.trajectories import read_trajectory

FULL = os.environ.get("FULL") == "1"
ATTEMPTS, STEPS, KILLS = (1000, 10, 30) if FULL else (80, 10, 6)
AT_ONCE = 8
PAUSE = (0.8, 2.0) if FULL else (0.6, 1.2)
SETTINGS = {"SYNTHBENCH_JOURNAL_AFTER_SECONDS": "1", "SYNTHBENCH_GIVE_UP_SECONDS": "120"}

pytestmark = [pytest.mark.long, pytest.mark.timeout(900 if FULL else 200)]


class Listener:
    """Somebody else's consumer of `trajectory.done`: where in the stream did each id stand, and what did it say?"""

    def __init__(self, url: str) -> None:
        self.url = url
        self.places: dict[str, set[int]] = defaultdict(set)
        self.contents: dict[str, set[bytes]] = defaultdict(set)
        self.stopped = asyncio.Event()

    async def run(self) -> None:
        client = await nats.connect(self.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=quiet)
        js = client.jetstream()
        config = api.ConsumerConfig(
            durable_name="outside", ack_policy=api.AckPolicy.EXPLICIT, filter_subject="trajectory.done", ack_wait=5
        )
        await js.add_consumer("EVENTS", config)
        while not self.stopped.is_set():
            with contextlib.suppress(NatsError, JetStreamError, TimeoutError, OSError):
                subscription = await js.pull_subscribe_bind(durable="outside", stream="EVENTS")
                for message in await subscription.fetch(100, timeout=0.3):
                    identity = (message.headers or {})["ce-id"]
                    self.places[identity].add(message.metadata.sequence.stream)
                    self.contents[identity].add(message.data)
                    await message.ack()
                await subscription.unsubscribe()
        await client.close()


async def quiet(_error: Exception) -> None:
    """A server that is gone for a while is what this is about."""


class Attempts:
    """Makes attempts, as executors and the scheduler do."""

    def __init__(self, bus: Bus, store: FilesStore) -> None:
        self._bus = bus
        self._store = store
        self._recent = RecentEvents(bus, 1.0)
        self.sent: dict[UUID, list[StepRecorded]] = {}
        self.closed: dict[UUID, AttemptClosed] = {}

    async def make(self) -> None:
        rollout_id = uuid7()
        recorded = self.sent[rollout_id] = list(steps_of(rollout_id, STEPS))
        first = recorded[0]
        scope = AttemptScope(first.submission_id, "c", rollout_id, 1)
        announcer = EventAnnouncer(scope, self._bus, self._store, self._recent)
        for body in recorded:
            await patiently(lambda event=body: announcer.announce(event))
        report = AttemptFinished.model_validate(
            {
                **scope.fields, "context": AttemptContext(), "outcome": Outcome.SOLVED,
                "step_digests": [body.step.digest for body in recorded],
                "started_at": first.step.started_at, "finished_at": recorded[-1].step.finished_at,
            }
        )  # fmt: skip
        rollout = Rollout(
            rollout_id=rollout_id, submission_id=first.submission_id, campaign="c", scaffold="native",
            pool="bubblewrap", route="sim/expert", task=TaskInfo(name="own/task", digest="sha256:" + "0" * 64),
        )  # fmt: skip
        closed = self.closed[rollout_id] = AttemptClosed.model_validate(
            {
                **scope.fields, "rollout": rollout, "outcome": Outcome.SOLVED, "counted": True, "last": True,
                "report": report,
            }
        )  # fmt: skip
        await patiently(lambda: self.say_closed(closed))

    async def say_closed(self, closed: AttemptClosed) -> None:
        await self._bus.publish(closed, id=derived_id("closed", closed.rollout_id, closed.attempt), timeout=10)


async def patiently(send) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            return await send()
        except (Transient, NatsError, TimeoutError, OSError):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def killing(place: Servers, chance: random.Random, done: asyncio.Event) -> list[str]:
    """Kill something, start it again, and so on: until enough was killed and all attempts are sent."""
    killed: list[str] = []
    while len(killed) < KILLS or not done.is_set():
        await asyncio.sleep(chance.uniform(*PAUSE))
        victim = (
            chance.choice(["collector", "collector", "nats", "postgres"])
            if len(killed) > 2
            else ["collector", "nats", "postgres"][len(killed)]
        )
        if victim == "collector":
            one = chance.choice(place.collectors)
            place.collectors.remove(one)
            one.kill()
            await one.wait()
            await place.start_collector(**SETTINGS)
        else:
            server = place.nats if victim == "nats" else place.postgres
            assert server.process is not None
            os.killpg(server.process.pid, signal.SIGKILL) if victim == "postgres" else server.process.kill()
            await server.process.wait()
            await asyncio.sleep(chance.uniform(0, 1))
            await server.start()
        killed.append(victim)
    return killed


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's tmp_path: Postgres' own user must be able to enter it."""
    with tempfile.TemporaryDirectory(prefix="synthbench-chaos-", ignore_cleanup_errors=True) as made:
        Path(made).chmod(0o711)
        yield Path(made)


async def test_nothing_is_lost_and_nothing_is_doubled(folder: Path):
    store, log = FilesStore(folder / "artifacts"), structlog.stdlib.get_logger()
    async with servers(folder) as place:
        await store.prepare()
        bus = await Bus.connect(Service.EXECUTOR, place.nats.url, "", SecretStr(""), log)
        listener = Listener(place.nats.url)
        listening = asyncio.create_task(listener.run())
        for _ in range(2):
            await place.start_collector(**SETTINGS)
        attempts, done, permits = Attempts(bus, store), asyncio.Event(), asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with permits:
                await attempts.make()

        destroying = asyncio.create_task(killing(place, random.Random(7), done))
        async with asyncio.TaskGroup() as group:
            for _ in range(ATTEMPTS):
                group.create_task(one())
        done.set()
        killed = await destroying
        for closed in attempts.closed.values():  # as the scheduler's outbox does after the bus came back
            await patiently(lambda event=closed: attempts.say_closed(event))
        await place.until("select count(*) from trajectories where incomplete is null", ATTEMPTS, 240)
        await place.until("select count(*) from outbox where published_at is not null", ATTEMPTS, 60)
        deadline = time.monotonic() + 60
        while len(listener.places) < ATTEMPTS:
            assert time.monotonic() < deadline, f"{len(listener.places)} heard"
            await asyncio.sleep(0.1)
        listener.stopped.set()
        await listening
        await bus.close()
        await judge(place, store, attempts, listener, killed)
        await place.stop_collectors()


async def judge(place: Servers, store: FilesStore, attempts: Attempts, listener: Listener, killed: list[str]) -> None:
    assert len(killed) >= KILLS
    assert {"collector", "nats", "postgres"} <= set(killed)
    with place.connect() as connection:
        steps = connection.execute("select rollout_id, index, digest from steps").fetchall()
        rows = connection.execute("select rollout_id, counted, steps, artifact->>'uri' from trajectories").fetchall()
        aside = connection.execute("select reason from steps_aside").fetchall()
    wanted = {
        (rollout, body.step.index): body.step.digest for rollout, bodies in attempts.sent.items() for body in bodies
    }
    assert len(steps) == ATTEMPTS * STEPS
    assert {(rollout, index): digest for rollout, index, digest in steps} == wanted
    assert aside == []
    assert {row[0] for row in rows} == set(attempts.sent)
    assert len(rows) == ATTEMPTS
    for rollout, counted, count, uri in rows:
        assert (counted, count) == (True, STEPS)
        trajectory = await read_trajectory(store, uri)
        assert [step.digest for step in trajectory.steps] == [body.step.digest for body in attempts.sent[rollout]]
        assert all(step.digest == step_digest(step) for step in trajectory.steps)
    print(
        f"{len(killed)} kills ({', '.join(f'{killed.count(one)} of {one}' for one in sorted(set(killed)))}); "
        f"{len(steps)} steps and {len(rows)} trajectories, once each"
    )
    assert len(listener.places) == ATTEMPTS
    assert all(len(said) == 1 for said in listener.contents.values())
    heard = {TrajectoryDone.model_validate_json(next(iter(said))).rollout_id for said in listener.contents.values()}
    assert heard == set(attempts.sent)
