"""One request to verify has one answer, however often it is delivered."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
import structlog

from synthbench.chassis.bus import Bus
from synthbench.chassis.consumer import Delivery
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import VerificationFinished, VerificationRequested
from synthbench.contracts.model import Record
from synthbench.executor.adapters.packages import Packages
from synthbench.executor.attempts import Services
from synthbench.executor.handlers import Handlers
from synthbench.executor.recorder import Recent
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

    async def publish(self, body: Record, *, id: UUID | None = None) -> None:  # noqa: A002 - as in Bus
        self.said.append((id, body))


@pytest.fixture
async def bus() -> Heard:
    return Heard()


@pytest.fixture
async def handlers(bus: Heard, artifacts: FilesStore) -> AsyncGenerator[Handlers]:
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        engine = (await choose_engine("process", root=Path(folder, "boxes"))).engine
        real = cast("Bus", bus)
        services = Services(
            ExecutorSettings(), real, artifacts, cast("Any", None), {"process": engine}, {}, Packages(artifacts),
            Recent(real, 1.0), asyncio.Event(), structlog.stdlib.get_logger(),
        )  # fmt: skip
        yield Handlers(services)
        await engine.aclose()


async def request(artifacts: FilesStore) -> Delivery:
    stored = await artifacts.put(pack(load_library_task("simple-task-001")))
    wanted = VerificationRequested(
        submission_id=uuid4(), campaign="c", rollout_id=uuid4(), attempt=1, verification_id=uuid4(),
        requested_by="quality", pool="process", task_digest=stored.digest,
    )  # fmt: skip
    return Delivery(Envelope(wanted, "test"), cast("Any", None), cast("Any", None), b"")


async def test_delivered_again_it_says_the_same(handlers: Handlers, bus: Heard, artifacts: FilesStore):
    delivery = await request(artifacts)
    await handlers.on_verification(delivery)
    await handlers.on_verification(delivery)
    first, second = bus.said
    assert first == second
    assert isinstance(first[1], VerificationFinished)
    assert first[1].result.error is None
    assert first[1].result.reward == 0.0


async def test_two_at_once_say_the_same(handlers: Handlers, bus: Heard, artifacts: FilesStore):
    delivery = await request(artifacts)
    await asyncio.gather(handlers.on_verification(delivery), handlers.on_verification(delivery))
    first, second = bus.said
    assert first[1].to_json() == second[1].to_json()
