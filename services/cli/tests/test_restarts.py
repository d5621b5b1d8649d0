"""What dies is started again, later and later, and never at the others' cost; the bus heals after a full disk."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import nats
import pytest
import structlog
from nats.js.api import DiscardPolicy, StreamConfig

from synthbench.client.errors import CliError
from synthbench.embedded import bus_recovery, restarts
from synthbench.embedded.bus_recovery import BusRecovery
from synthbench.embedded.children import spawn
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.restarts import BAD_SETTINGS, Restarts

LOG = structlog.stdlib.get_logger()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(restarts, "_LONGEST_PAUSE_SECONDS", 0.2)


class Service:
    """A process that ends with a code, or lives."""

    def __init__(self, folder: Path, script: str) -> None:
        self.log = folder / "log"
        self.script = script
        self.starts = 0
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.starts += 1
        self.process = await spawn([sys.executable, "-c", self.script], log=self.log, env={})

    async def restarted(self, supervised: Restarts, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    await supervised.restart_if_ended("service", self.process, self.start)
                    await asyncio.sleep(0.01)


async def test_one_that_dies_again_and_again_is_started_later_and_later_and_its_last_words_are_kept(tmp_path: Path):
    service = Service(tmp_path, "print('no such table'); raise SystemExit(1)")
    supervised = Restarts(LOG, lambda _name: service.log)
    await service.start()
    await service.restarted(supervised, 3)
    assert 3 < service.starts < 25  # not in a busy loop, and not given up
    assert supervised.problems().keys() == {"service"}
    assert "last with code 1: no such table" in supervised.problems()["service"]


async def test_one_that_dies_once_is_started_again_and_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    service = Service(tmp_path, "raise SystemExit(1)")
    supervised = Restarts(LOG, lambda _name: service.log)
    await service.start()
    service.script = "import time; time.sleep(60)"
    await service.restarted(supervised, 2)
    assert service.starts == 2
    assert supervised.problems() == {}
    assert service.process is not None
    monkeypatch.setattr(restarts, "_STEADY_SECONDS", 0.0)
    assert await supervised.restart_if_ended("service", service.process, service.start)
    assert supervised.exits == {}  # it stayed up
    service.process.kill()
    await service.process.wait()


async def test_wrong_settings_are_a_problem_at_once(tmp_path: Path):
    service = Service(tmp_path, f"print('SYNTHBENCH_X is missing'); raise SystemExit({BAD_SETTINGS})")
    supervised = Restarts(LOG, lambda _name: service.log)
    await service.start()
    assert service.process is not None
    await service.process.wait()
    await supervised.restart_if_ended("service", service.process, service.start)
    assert "SYNTHBENCH_X is missing" in supervised.problems()["service"]


async def test_a_start_that_fails_is_tried_again_and_said(tmp_path: Path):
    service = Service(tmp_path, "raise SystemExit(1)")
    supervised = Restarts(LOG, lambda _name: service.log)
    await service.start()
    tries = 0

    async def fail() -> None:
        nonlocal tries
        tries += 1
        raise CliError("no room")

    assert service.process is not None
    await service.process.wait()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while tries < 3:
                await supervised.restart_if_ended("service", service.process, fail)
                await asyncio.sleep(0.01)
    assert tries == 3
    assert supervised.problems() == {"service": "cannot be started: no room"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("a file system of its own cannot be mounted here; root in a container with CAP_SYS_ADMIN can")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_bus_that_met_a_full_disk_stores_again_when_there_is_room_and_lost_nothing(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bus_recovery, "_CHECK_SECONDS", 0.0)
    server = EmbeddedNats(small_disk / "nats", tmp_path / "log")
    await server.start()
    filler = small_disk / "fill"
    try:
        connection = await nats.connect(server.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, error_cb=_quiet)
        js = connection.jetstream(timeout=2)
        config = StreamConfig(name="S", subjects=["s"], max_bytes=1 << 30, discard=DiscardPolicy.NEW)
        await js.add_stream(config)
        await js.publish("s", b"before")
        bus = BusRecovery(server, lambda: _free(small_disk), server.start, LOG, needed=8 << 20)
        assert await bus.check() is False
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        with pytest.raises(TimeoutError):
            await js.publish("s", bytes(100_000))
        assert await bus.check()
        assert "no space left on device; it is started again when 8 MiB are free" in bus.error
        filler.unlink()
        assert await bus.check()
        assert bus.error == ""
        async with asyncio.timeout(10):
            while not connection.is_connected:
                await asyncio.sleep(0.05)
        await js.publish("s", b"after")
        info = await js.stream_info("S")
        assert (await js.get_msg("S", info.state.first_seq)).data == b"before"
        assert (await js.get_msg("S", info.state.last_seq)).data == b"after"
        await connection.close()
    finally:
        await server.stop()


async def _quiet(_error: Exception) -> None:
    """The server goes away on purpose."""


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
