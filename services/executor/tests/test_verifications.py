"""One request to verify has one answer, however often it is delivered."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import structlog

from synthbench.chassis.bus import Bus
from synthbench.chassis.delivery import Delivery
from synthbench.chassis.errors import Drop
from synthbench.contracts.cloudevents import Envelope, Message
from synthbench.contracts.events import VerificationFinished, VerificationRequested
from synthbench.contracts.model import Record
from synthbench.contracts.registry import arrives_as
from synthbench.executor.adapters.packages import TaskPackageCache
from synthbench.executor.announcing import RecentEvents
from synthbench.executor.attempt.services import AttemptServices
from synthbench.executor.handlers import ExecutorHandlers
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.engines import choose_engine
from synthbench.storage.artifacts import FilesStore
from synthbench.tasks import pack
from synthbench.tasks.library import load_library_task


class Heard:
    """Stands where the bus stands."""

    source = "test"

    def __init__(self) -> None:
        self.said: list[tuple[UUID | None, Record]] = []

    def on_reconnected(self, callback: Any) -> None:
        """Nothing is ever lost here."""

    async def publish_encoded(self, envelope: Envelope, _message: Message) -> None:
        self.said.append((envelope.id, envelope.body))


@pytest.fixture
async def bus() -> Heard:
    return Heard()


@pytest.fixture
async def handlers(bus: Heard, artifacts: FilesStore) -> AsyncGenerator[ExecutorHandlers]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        engine = (await choose_engine("process", root=Path(folder, "boxes"))).engine
        real = cast("Bus", bus)
        services = AttemptServices(
            ExecutorSettings(), real, artifacts, cast("Any", None), {"process": engine}, {},
            TaskPackageCache(artifacts), RecentEvents(real, 1.0), asyncio.Event(), structlog.stdlib.get_logger(),
        )  # fmt: skip
        yield ExecutorHandlers(services)
        await engine.aclose()


async def request(artifacts: FilesStore, asker: str = "quality", **fields: Any) -> Delivery[VerificationRequested]:
    stored = await artifacts.put(pack(load_library_task("simple-task-001")))
    wanted = VerificationRequested(
        submission_id=uuid4(), campaign="c", rollout_id=uuid4(), attempt=1, verification_id=uuid4(),
        requested_by="quality", pool="process", task_digest=stored.digest,
    ).model_copy(update=fields)  # fmt: skip
    message = SimpleNamespace(subject=arrives_as("verification.requested.process", asker))
    return Delivery(Envelope(wanted, "test"), cast("Any", None), cast("Any", message), b"")


async def test_delivered_again_it_says_the_same(handlers: ExecutorHandlers, bus: Heard, artifacts: FilesStore):
    delivery = await request(artifacts)
    await handlers.on_verification(delivery)
    await handlers.on_verification(delivery)
    first, second = bus.said
    assert first == second
    assert isinstance(first[1], VerificationFinished)
    assert first[1].result.error is None
    assert first[1].result.reward == 0.0


async def test_two_at_once_say_the_same(handlers: ExecutorHandlers, bus: Heard, artifacts: FilesStore):
    delivery = await request(artifacts)
    await asyncio.gather(handlers.on_verification(delivery), handlers.on_verification(delivery))
    first, second = bus.said
    assert first[1].to_json() == second[1].to_json()


async def test_nobody_chooses_the_answer_to_what_another_will_ask(
    handlers: ExecutorHandlers, bus: Heard, artifacts: FilesStore
):
    """Ids are derived, so a client can know the one that quality will take; its name does not make it quality."""
    known = uuid4()
    nothing = {"task_digest": "sha256:" + "0" * 64, "verification_id": known}
    await handlers.on_verification(await request(artifacts, "mallory", **nothing))
    await handlers.on_verification(await request(artifacts, "quality", verification_id=known))
    await handlers.on_verification(await request(artifacts, "operator", **nothing))
    forged, asked, operators = (body for _, body in bus.said)
    assert isinstance(forged, VerificationFinished)
    assert isinstance(asked, VerificationFinished)
    assert isinstance(operators, VerificationFinished)
    assert (forged.requested_by, asked.requested_by, operators.requested_by) == ("mallory", "quality", "operator")
    assert forged.result.error is not None
    assert (asked.result.error, asked.result.reward) == (None, 0.0)
    assert len({identity for identity, _ in bus.said}) == 3


async def test_a_request_for_another_pool_than_its_subject_names_is_dropped(
    handlers: ExecutorHandlers, bus: Heard, artifacts: FilesStore
):
    with pytest.raises(Drop, match=r"mallory asked on verification.requested.process.mallory for pool docker"):
        await handlers.on_verification(await request(artifacts, "mallory", pool="docker"))
    assert bus.said == []
