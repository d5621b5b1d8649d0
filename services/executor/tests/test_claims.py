"""One rollout is worked on once in a process, however often its message comes."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import httpx
import pytest
import structlog
from pydantic import SecretStr

from synthbench.chassis.bus import Bus
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import BusUnavailable, Retry
from synthbench.contracts.cloudevents import Envelope, Message
from synthbench.contracts.events import AttemptFinished, AttemptStarted, TaskReady
from synthbench.contracts.journal import journal_key
from synthbench.contracts.model import Record
from synthbench.contracts.records import Outcome, Rollout, RolloutLimits, TaskInfo
from synthbench.contracts.rpc import CLAIM, ClaimReply, HeartbeatReply
from synthbench.contracts.trajectory import AttemptContext
from synthbench.executor.adapters.packages import TaskPackageCache
from synthbench.executor.announcing import RecentEvents
from synthbench.executor.attempt.services import AttemptServices
from synthbench.executor.handlers import ExecutorHandlers
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.engines import choose_engine
from synthbench.storage.artifacts import FilesStore
from synthbench.tasks import pack
from synthbench.tasks.library import load_library_task

if TYPE_CHECKING:
    from .conftest import Script


class Scheduler:
    """Stands where the bus stands, and grants every claim; the first ones may be lost."""

    source = "test"

    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout
        self.claims = self.lost = 0
        self.said: list[Record] = []

    def on_reconnected(self, callback: Any) -> None:
        """Nothing is ever lost here."""

    async def request(self, subject: Any, _wanted: Record, _reply: type, *, timeout: float) -> Record:
        if subject is not CLAIM:
            return HeartbeatReply(order="go_on")
        self.claims += 1
        await asyncio.sleep(0.05)
        if self.lost:
            self.lost -= 1
            raise BusUnavailable("no answer")
        return ClaimReply(
            status="granted", attempt=1, rollout=self.rollout, attempt_key=SecretStr("k"), lease_seconds=30.0
        )

    async def publish_encoded(self, envelope: Envelope, _message: Message, *, timeout: float = 0) -> None:
        self.said.append(envelope.body)

    def kinds(self) -> list[str]:
        return [type(one).__name__ for one in self.said]


@pytest.fixture
async def rollout(artifacts: FilesStore) -> Rollout:
    package = load_library_task("simple-task-001")
    stored = await artifacts.put(pack(package))
    task = TaskInfo(name="simple-task-001", digest=stored.digest, category="c", difficulty="easy")
    return Rollout(
        rollout_id=uuid4(), submission_id=uuid4(), campaign="c", task=task, scaffold="nop", route="", pool="process",
        limits=RolloutLimits(),
    )  # fmt: skip


@pytest.fixture
def scheduler(rollout: Rollout) -> Scheduler:
    return Scheduler(rollout)


@pytest.fixture
async def handlers(scheduler: Scheduler, artifacts: FilesStore, script: "Script") -> AsyncGenerator[ExecutorHandlers]:
    http = httpx.AsyncClient(transport=httpx.MockTransport(script))
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        engine = (await choose_engine("process", root=Path(folder, "boxes"))).engine
        real = cast("Bus", scheduler)
        services = AttemptServices(
            ExecutorSettings(), real, artifacts, http, {"process": engine}, {}, TaskPackageCache(artifacts),
            RecentEvents(real, 1.0), asyncio.Event(), structlog.stdlib.get_logger(),
        )  # fmt: skip
        yield ExecutorHandlers(services)
        await engine.aclose()
    await http.aclose()


def ready(rollout: Rollout) -> Delivery[TaskReady]:
    body = TaskReady(submission_id=rollout.submission_id, campaign="c", rollout_id=rollout.rollout_id, rollout=rollout)
    return Delivery(Envelope(body, "test"), cast("Any", None), cast("Any", None), b"")


async def test_a_second_message_waits_while_the_first_is_worked_on(
    handlers: ExecutorHandlers, scheduler: Scheduler, rollout: Rollout
):
    first, second = await asyncio.gather(
        handlers.on_ready(ready(rollout)), handlers.on_ready(ready(rollout)), return_exceptions=True
    )
    assert (first, type(second)) == (None, Retry)
    assert scheduler.claims == 1
    assert scheduler.kinds() == ["AttemptStarted", "StepRecorded", "AttemptFinished"]


async def test_a_lost_answer_is_asked_for_again(handlers: ExecutorHandlers, scheduler: Scheduler, rollout: Rollout):
    scheduler.lost = 1
    with pytest.raises(BusUnavailable):
        await handlers.on_ready(ready(rollout))
    await handlers.on_ready(ready(rollout))
    assert scheduler.claims == 2
    assert scheduler.kinds() == ["AttemptStarted", "StepRecorded", "AttemptFinished"]


async def test_what_somebody_else_began_under_our_name_is_left_alone(
    handlers: ExecutorHandlers, scheduler: Scheduler, rollout: Rollout, artifacts: FilesStore
):
    """As after a crash in a container, where the next process has the same host and number."""
    scope = {"submission_id": rollout.submission_id, "campaign": "c", "rollout_id": rollout.rollout_id, "attempt": 1}
    before = AttemptStarted.model_validate(
        {**scope, "rollout": rollout, "context": AttemptContext(synthbench_version="0.1.0", executor="one"),
         "started_at": "2026-11-25T00:00:00Z"}
    )  # fmt: skip
    await artifacts.put_named(journal_key(before), before.to_json())
    await handlers.on_ready(ready(rollout))
    assert scheduler.said == []
    finished = journal_key(before).replace("started", "finished")
    assert [key async for key in artifacts.list("journal/")] == [journal_key(before)]
    assert not await artifacts.exists(f"artifact://key/{finished}")
    assert AttemptFinished not in map(type, scheduler.said)


@pytest.mark.parametrize(("finish_reason", "named"), [("length", True), ("stop", False)])
async def test_an_attempt_whose_last_answer_was_cut_off_at_its_token_limit_says_so(
    handlers: ExecutorHandlers,
    scheduler: Scheduler,
    rollout: Rollout,
    script: "Script",
    finish_reason: str,
    named: bool,
):
    scheduler.rollout = rollout.model_copy(update={"scaffold": "native", "route": "m"})
    choice = {"message": {"role": "assistant", "content": "I shall"}, "finish_reason": finish_reason}
    answer = {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}
    script.answers = [httpx.Response(200, json=answer) for _ in range(3)]
    await handlers.on_ready(ready(scheduler.rollout))
    finished = scheduler.said[-1]
    assert isinstance(finished, AttemptFinished)
    assert finished.outcome is Outcome.GAVE_UP
    assert ("cut off at its token limit (finish_reason: length)" in finished.detail) == named
