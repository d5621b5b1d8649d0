"""Fixtures for tests of the bus: a nats-server for each module, and a chassis that is connected to it.

A conftest.py imports those that its tests use.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from structlog.stdlib import BoundLogger
from structlog.testing import LogCapture

from synthbench.chassis import settle
from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import KeptLetter, list_dead
from synthbench.chassis.process import Chassis, open_chassis
from synthbench.chassis.settings import Settings
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.registry import Durable, Service
from synthbench.contracts.streams import streams
from synthbench.embedded.nats import EmbeddedNats

OpenService = Callable[..., Awaitable[Chassis]]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make retries come after hundredths of seconds."""
    monkeypatch.setattr(settle, "_FIRST_PAUSE", 0.02)
    monkeypatch.setattr(settle, "_LONGEST_PAUSE", 0.08)


@asynccontextmanager
async def _running(servers_folder: Path) -> AsyncGenerator[EmbeddedNats]:
    with tempfile.TemporaryDirectory(dir=servers_folder) as folder:
        server = EmbeddedNats(Path(folder, "data"), Path(folder, "nats.log"))
        await server.start()
        yield server
        await server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats(servers_folder: Path) -> AsyncGenerator[EmbeddedNats]:
    """Shared by a module. It must not be stopped: that is what `own_nats` is for."""
    async with _running(servers_folder) as server:
        yield server


@pytest.fixture
async def own_nats(servers_folder: Path) -> AsyncGenerator[EmbeddedNats]:
    """One that a test may stop and start."""
    async with _running(servers_folder) as server:
        yield server


@pytest.fixture
def logs() -> LogCapture:
    """The lines that `log` received."""
    return LogCapture()


@pytest.fixture
def log(logs: LogCapture) -> BoundLogger:
    return structlog.wrap_logger(None, processors=[logs], wrapper_class=BoundLogger)


@pytest.fixture
async def open_service(log: BoundLogger) -> AsyncGenerator[OpenService]:
    """Open a chassis on a server; it is drained at the end of the test."""
    async with AsyncExitStack() as stack:

        async def opened(url: str, service: Service = Service.SCHEDULER, **settings: Any) -> Chassis:
            values: dict[str, Any] = {"drain_seconds": 3.0, **settings}
            return await stack.enter_async_context(open_chassis(service, Settings(nats_url=url, **values), log))

        yield opened


async def clean(bus: Bus) -> None:
    await ensure_topology(bus.js)
    for spec in streams():
        await bus.js.purge_stream(spec.name)


@pytest.fixture
async def chassis(nats: EmbeddedNats, open_service: OpenService) -> Chassis:
    """The scheduler's, with the topology as declared and empty streams."""
    opened = await open_service(nats.url)
    await clean(opened.bus)
    return opened


@pytest.fixture
async def own_chassis(own_nats: EmbeddedNats, open_service: OpenService) -> Chassis:
    """On the server that the test may stop."""
    opened = await open_service(own_nats.url)
    await clean(opened.bus)
    return opened


async def eventually(condition: Callable[[], Awaitable[object]], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        await asyncio.sleep(0.01)


class Watch:
    """Looks at a server from outside."""

    eventually = staticmethod(eventually)

    async def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait for what needs no await."""

        async def awaitable() -> object:
            return condition()

        await eventually(awaitable, seconds)

    async def settled(self, bus: Bus, durable: Durable) -> None:
        """Wait until nothing waits for this durable, and nothing is unacknowledged."""

        async def nothing_left() -> bool:
            found = await bus.js.consumer_info(durable.stream, durable.name)
            return not found.num_pending and not found.num_ack_pending

        await eventually(nothing_left)

    async def letters(self, bus: Bus, count: int = 1) -> list[KeptLetter]:
        """Wait for this many dead letters."""
        found: list[KeptLetter] = []

        async def there() -> bool:
            found[:] = [kept async for kept in list_dead(bus)]
            return len(found) >= count

        await eventually(there)
        assert len(found) == count
        return found

    async def kept(self, bus: Bus, stream: str) -> int:
        """How many messages a stream holds."""
        return (await bus.js.stream_info(stream)).state.messages

    async def last_sequence(self, bus: Bus, stream: str) -> int:
        """How many it ever stored."""
        return (await bus.js.stream_info(stream)).state.last_seq


@pytest.fixture
def watch() -> Watch:
    return Watch()
