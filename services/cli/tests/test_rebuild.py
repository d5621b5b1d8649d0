"""A lost bus is made again: each service publishes its own outbox when the operator asks it."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from synthbench.chassis.bus import Bus
from synthbench.client.errors import CliError
from synthbench.contracts.events import CancelRequested
from synthbench.contracts.ids import uuid7
from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import Service
from synthbench.contracts.rpc import OUTBOX_OWNERS
from synthbench.contracts.streams import streams
from synthbench.operations import rebuild
from synthbench.operations.operator import Operator
from synthbench.operations.rebuild import rebuild_bus
from synthbench.storage.artifacts import FilesStore
from synthbench.storage.database import Database
from synthbench.storage.outbox import Outbox

SCHEMAS = {
    Service.SCHEDULER: "scheduler",
    Service.LLM_GATEWAY: "ledger",
    Service.COLLECTOR: "catalogue",
    Service.QUALITY: "quality",
    Service.DIVERSITY: "diversity",
}


def operator_of(bus: Bus, dsn: SecretStr, folder: Path) -> Operator:
    return Operator(bus, dsn, FilesStore(folder / "artifacts"), folder, None, ("client",), DEFAULT_POOLS)


async def messages(bus: Bus) -> int:
    names = [spec.name for spec in streams(("client",))]
    return sum([(await bus.js.stream_info(name)).state.messages for name in names])


async def test_what_every_outbox_published_is_on_the_new_bus(
    make_chassis: Any, dsn: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rebuild, "_BATCH", 1)
    assert set(SCHEMAS) == set(OUTBOX_OWNERS)
    lines: list[str] = []
    async with AsyncExitStack() as stack:
        operator = operator_of((await stack.enter_async_context(make_chassis(Service.TOPOLOGY))).bus, dsn, tmp_path)
        for service, schema in SCHEMAS.items():
            chassis = await stack.enter_async_context(make_chassis(service))
            database = Database(dsn, schema)
            await database.open()
            chassis.on_drain(database.close)
            outbox = Outbox(chassis, database)
            for _ in range(2):
                async with database.connection() as connection:
                    await outbox.add(connection, CancelRequested(submission_id=uuid7(), reason=schema))
            assert await outbox.publish_all() == 2
            await outbox.start()
        before = await messages(operator.bus)
        assert before == 10
        for spec in streams(("client",)):
            await operator.bus.js.delete_stream(spec.name)
        await rebuild_bus(operator, lines.append)
        async with asyncio.timeout(20):
            while await messages(operator.bus) < before:
                await asyncio.sleep(0.05)
    assert "outboxes: 10 events go out again" in lines


async def test_a_service_that_does_not_answer_is_named(
    make_chassis: Any, dsn: SecretStr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rebuild, "_REQUEST_SECONDS", 0.2)
    async with make_chassis(Service.TOPOLOGY) as chassis:
        with pytest.raises(CliError, match=r"^the scheduler does not publish its outbox again"):
            await rebuild_bus(operator_of(chassis.bus, dsn, tmp_path))
