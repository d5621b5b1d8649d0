"""Events of every kind with values that nobody can work with, sent to all services over a real bus and database.

What no service can take is refused by a dead letter that names the field; nothing is tried for ever, fails by a defect,
or holds up what comes behind it. What an attempt reports of its agent comes to its end, whatever the agent made.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import pytest
import structlog
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import strategies as st
from pydantic import SecretStr

from fuzzing import fuzz
from hostile_events import Known, payloads, valid_bodies
from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import KeptLetter, list_dead
from synthbench.chassis.process import Bootstrap, open_chassis
from synthbench.chassis.settings import Settings
from synthbench.chassis.topology import ensure_topology
from synthbench.collector.bootstrap import bootstrap as collector
from synthbench.collector.settings import CollectorSettings
from synthbench.contracts import events
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import EVENTS, Durable, Service, durable, durables
from synthbench.contracts.rpc import CLAIM, ClaimReply, ClaimRequest
from synthbench.contracts.steps import Step
from synthbench.diversity.bootstrap import bootstrap as diversity
from synthbench.diversity.settings import DiversitySettings
from synthbench.embedded.nats import EmbeddedNats
from synthbench.executor.bootstrap import bootstrap as executor
from synthbench.executor.settings import ExecutorSettings
from synthbench.llm_gateway.bootstrap import bootstrap as llm_gateway
from synthbench.llm_gateway.settings import GatewaySettings
from synthbench.quality.bootstrap import bootstrap as quality
from synthbench.quality.settings import QualitySettings
from synthbench.scheduler.bootstrap import bootstrap as scheduler
from synthbench.scheduler.settings import SchedulerSettings
from synthbench.storage.database import Database
from synthbench.storage.migrations import migrate_all

T = TypeVar("T")
ENGINE = "process"
"""Of the executor here. What the test itself claims and verifies is for another engine's executors."""
SERVICES: dict[Service, tuple[Bootstrap, type[Settings], dict[str, Any]]] = {
    Service.SCHEDULER: (scheduler, SchedulerSettings, {"lease_seconds": 3600, "quarantine_failures": 10**6}),
    Service.COLLECTOR: (collector, CollectorSettings, {"journal_after_seconds": 0, "give_up_seconds": 0.1}),
    Service.QUALITY: (quality, QualitySettings, {"max_verifications": 1}),
    Service.DIVERSITY: (diversity, DiversitySettings, {}),
    Service.LLM_GATEWAY: (llm_gateway, GatewaySettings, {}),
    Service.EXECUTOR: (executor, ExecutorSettings, {"engines": ENGINE}),
}
READ = [one for one in durables() if one.service is not Service.EXECUTOR or f".{ENGINE}" in one.subject]
"""The durables of all services here."""
EXECUTOR = "the-executor"
_SECONDS = 20.0
_REFUSED = ("MalformedEvent: ", "Poison: ", "ArtifactNotFound: ", "NoArtifactUri: ")


class Stack:
    """All services in one process, asked from a test without a loop."""

    def __init__(self, portal: BlockingPortal, bus: Bus, database: Database) -> None:
        self.call = portal.call
        self.bus = bus
        self.database = database
        self.letters_seen = 0

    async def send(self, to: Durable, payload: bytes) -> None:
        """Publish as the service or client would that sends it."""
        headers = {"ce-type": to.event.type}
        await self.bus.js.publish(to.subject, payload, stream=to.stream, headers=headers, timeout=10)

    async def settled(self) -> None:
        """Wait until no durable of the services holds a message; one that is tried for ever never lets go."""
        for read in READ:
            await self.until(lambda read=read: self._empty(read.stream, read.name), read.name)

    async def _empty(self, stream: str, name: str) -> bool:
        info = await self.bus.js.consumer_info(stream, name)
        return info.num_pending == 0 and info.num_ack_pending == 0

    async def until(self, condition: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for it."""
        end = asyncio.get_running_loop().time() + _SECONDS
        while not await condition():
            assert asyncio.get_running_loop().time() < end, (what, [one.letter.error for one in await self.letters()])
            await asyncio.sleep(0.02)

    async def letters(self) -> list[KeptLetter]:
        """Dead letters that came since this was asked last."""
        found = [one async for one in list_dead(self.bus) if one.sequence > self.letters_seen]
        self.letters_seen = max([one.sequence for one in found], default=self.letters_seen)
        return found

    async def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

    async def claimed(self) -> tuple[UUID, UUID]:
        """A rollout whose attempt an executor was granted, and its submission."""
        submission = uuid7()
        wanted = {"task": "simple-task-001", "route": "sim/expert", "submission_id": str(submission), "campaign": "c"}
        submitted = durable(Service.SCHEDULER, "task.submitted", sender="client")
        await self.send(submitted, json.dumps(wanted).encode())
        rollout = derived_id("rollout", submission, 0)
        claim = ClaimRequest(rollout_id=rollout, executor=EXECUTOR, pool="bubblewrap")

        async def granted() -> bool:
            return (await self.bus.request(CLAIM, claim, ClaimReply)).status == "granted"

        await self.until(granted, f"the claim of {rollout}")
        return rollout, submission

    async def state(self, rollout: UUID) -> str:
        return (await self.rows("select state from scheduler.rollouts where rollout_id = %s", rollout))[0]["state"]


@asynccontextmanager
async def _running(portal: BlockingPortal, dsn: SecretStr, nats: EmbeddedNats, folder: Path) -> AsyncGenerator[Stack]:
    log = structlog.stdlib.get_logger("test")
    common = {
        "nats_url": nats.url, "postgres_dsn": dsn, "artifacts_url": f"file://{folder / 'artifacts'}",
        "attempt_key_secret": SecretStr("a-secret-of-at-least-thirty-two-bytes"), "drain_seconds": 2.0,
    }  # fmt: skip
    bus = await Bus.connect(Service.TOPOLOGY, nats.url, "", SecretStr(""), log)
    await ensure_topology(bus.js)
    database = Database(dsn, "scheduler")
    async with AsyncExitStack() as stack:
        for service, (bootstrap, settings, values) in SERVICES.items():
            own: dict[str, Any] = {"sandbox_root": folder / "sandboxes"} if service is Service.EXECUTOR else {}
            chassis = await stack.enter_async_context(open_chassis(service, settings(**common, **values, **own), log))
            await bootstrap(chassis)
            stack.callback(lambda chassis=chassis: _whole(chassis.failure))
        await database.open()
        yield Stack(portal, bus, database)
        await database.close()
    await bus.close()


def _whole(failure: BaseException | None) -> None:
    assert failure is None


@pytest.fixture(scope="module")
def stack(postgres_server: Any, background: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    migrate_all(postgres_server.dsn)
    nats = EmbeddedNats(folder / "nats", folder / "nats.log")
    background.run(nats.start())
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_running(portal, postgres_server.dsn, nats, folder)) as running,
    ):
        yield running
    background.run(nats.stop())


def _checked(letters: list[KeptLetter]) -> None:
    for kept in letters:
        letter = kept.letter
        assert letter.error.startswith(_REFUSED), (letter.consumer, letter.error, letter.payload[:200])


def test_every_event_that_a_service_consumes_is_sent():
    assert {one.event.name for one in READ} == {spec.name for spec in EVENTS if spec.consumers}
    assert {one.service for one in READ} == set(SERVICES)


@fuzz(12, shrink=False, data=st.data())
def test_no_value_of_an_event_is_tried_for_ever_or_fails_by_a_defect(stack: Stack, data: st.DataObject):
    rollout, submission = stack.call(stack.claimed)
    known: Known = {
        "rollout_id": [str(rollout), str(uuid7())], "submission_id": [str(submission), str(uuid7())],
        "attempt": [1, 1, 2, 2**31 - 1], "trajectory_id": [str(derived_id("trajectory", rollout, 1)), str(uuid7())],
    }  # fmt: skip
    for read in data.draw(st.lists(st.sampled_from(READ), min_size=3, max_size=6)):
        spec = read.event
        # An attempt that another executor runs is asked for again until it ends, and that one runs for ever.
        strange = (
            {"rollout_id": [str(uuid7())], "pool": [ENGINE, *DEFAULT_POOLS]} if read.service is Service.EXECUTOR else {}
        )
        stack.call(stack.send, read, data.draw(payloads(spec.body, {**known, **strange})))
    stack.call(stack.settled)
    _checked(stack.call(stack.letters))


async def _attempt(stack: Stack, told: dict[str, Any], known: Known) -> None:
    """Send what an executor and the services behind it say of an attempt, and follow it to its end."""
    rollout = UUID(known["rollout_id"][0])
    step = Step.model_validate({**told["step.recorded"]["step"], "index": 0}).sealed()
    started = events.AttemptStarted.model_validate(told["attempt.started"])
    recorded = events.StepRecorded.model_validate({**told["step.recorded"], "step": step})
    report = {**told["attempt.finished"], "step_digests": [step.digest], "outcome": "solved", "permanent": ""}
    finished = events.AttemptFinished.model_validate({**report, "out_of_money": False})
    for body in (started, recorded, finished):
        await stack.bus.publish(body)

    async def verifying() -> bool:
        asked = "select 1 from quality.verifications v join quality.scorings s using (trajectory_id)"
        return bool(await stack.rows(f"{asked} where s.trajectory_id = %s", derived_id("trajectory", rollout, 1)))

    # Nobody can verify a second time what was verified in the sandbox of the agent by a package that grades itself.
    verified = finished.verification
    if verified is None or not (verified.forgeable and verified.in_place):
        await stack.until(verifying, f"a second verification of {rollout}")
        tests = [{"name": "a test named \0", "status": "failed"}]  # checks name it in their findings
        result = {**told["verification.finished"]["result"], "tests": tests, "error": None}
        answer = {
            **told["verification.finished"], "requested_by": "quality", "result": result,
            "verification_id": derived_id("verification", "quality", derived_id("trajectory", rollout, 1)),
        }  # fmt: skip
        await stack.bus.publish(events.VerificationFinished.model_validate(answer))

    async def curated() -> bool:
        return await stack.state(rollout) == "curated"

    await stack.until(curated, f"the end of {rollout}")


LIFE = ("attempt.started", "step.recorded", "attempt.finished", "verification.finished")


@fuzz(6, shrink=False, data=st.data())
def test_an_attempt_whose_agent_made_hostile_values_reaches_its_end(stack: Stack, data: st.DataObject):
    rollout, submission = stack.call(stack.claimed)
    known: Known = {"rollout_id": [str(rollout)], "submission_id": [str(submission)], "attempt": [1], "campaign": ["c"]}
    kinds = {spec.name: spec.body for spec in EVENTS if spec.name in LIFE}
    told = {name: data.draw(valid_bodies(kind, known), label=name) for name, kind in kinds.items()}
    stack.call(_attempt, stack, told, known)
    stack.call(stack.settled)
    assert [one.letter.error for one in stack.call(stack.letters)] == []
