"""A service as a real process: its endpoints, its end, and what it says when it cannot start."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from synthbench.chassis.process import Chassis
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.registry import Service, durable
from synthbench.embedded.children import free_port, spawn, stop
from synthbench.embedded.nats import EmbeddedNats

if TYPE_CHECKING:
    from bus_fixtures import Watch

SUBMITTED = durable(Service.SCHEDULER, "task.submitted")
TOKEN = "some-api-token"
SCRIPT = """
import asyncio, pathlib, sys
from starlette.responses import PlainTextResponse
from synthbench.chassis.consumer import Consumer
from synthbench.chassis.process import run_service
from synthbench.chassis.settings import Settings
from synthbench.contracts.registry import Service, durable

seconds, mode = float(sys.argv[1]), sys.argv[2]

async def handle(delivery):
    pathlib.Path("begun").touch()
    await asyncio.sleep(seconds)
    pathlib.Path("done").touch()

async def fail():
    await asyncio.sleep(0.2)
    raise ValueError("a task of ours fails")

async def bootstrap(chassis):
    if mode == "no bootstrap":
        raise LookupError("bootstrap fails")
    if mode == "failing task":
        chassis.task("ours", fail())
    chassis.health.mount("/api", PlainTextResponse("hello"))
    chassis.health.mount("/open", PlainTextResponse("come in"), guarded=False)
    Consumer(chassis, durable(Service.SCHEDULER, "task.submitted"), handle).start()

run_service(Service.SCHEDULER, Settings, bootstrap)
"""


class Child:
    """One process of the script above, in a folder of its own."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.process = process
        self.folder = folder

    def said(self) -> list[dict[str, Any]]:
        """Its log, line by line."""
        return [json.loads(line) for line in self.text().splitlines(keepends=True) if line.endswith("\n")]

    def text(self) -> str:
        return (self.folder / "log").read_text()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    async def get(self, path: str, **headers: str) -> httpx.Response:
        port = next(line["port"] for line in self.said() if line["event"] == "http listening")
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{port}{path}", headers=headers)

    async def status(self, path: str) -> int:
        return (await self.get(path)).status_code

    async def ends(self, *, after: signal.Signals | None = None) -> int:
        if after is not None:
            self.process.send_signal(after)
        return await asyncio.wait_for(self.process.wait(), 20)


Start = Callable[..., Awaitable[Child]]


@pytest.fixture
async def start(tmp_path: Path, watch: "Watch") -> AsyncGenerator[Start]:
    children: list[Child] = []

    async def started(url: str, seconds: float = 0.0, mode: str = "", *, wait: str = "ready", **settings: str) -> Child:
        folder = tmp_path / f"child-{len(children)}"
        folder.mkdir()
        (folder / "service.py").write_text(SCRIPT)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
        environment |= {"SYNTHBENCH_NATS_URL": url} | {f"SYNTHBENCH_{key}": value for key, value in settings.items()}
        command = [sys.executable, "service.py", str(seconds), mode]
        child = Child(await spawn(command, log=folder / "log", env=environment, cwd=folder), folder)
        children.append(child)
        if wait:
            await watch.until(lambda: wait in child.text() or child.process.returncode is not None, 30)
            assert wait in child.text()
        return child

    yield started
    for child in children:
        await stop(child.process, grace=0)


async def test_it_answers_guards_its_api_and_ends_with_zero(nats: EmbeddedNats, chassis: Chassis, start: Start):
    child = await start(nats.url, API_TOKEN=TOKEN)
    assert (await child.get("/livez")).text == "ok\n"
    assert (await child.get("/readyz")).json() == {"ready": True, "problems": {}}
    metrics = await child.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert "synthbench_last_fetch_timestamp_seconds" in metrics.text
    for wrong in ("", TOKEN, "Bearer other", f"Basic {TOKEN}"):
        refused = await child.get("/api/", Authorization=wrong)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "SYNTHBENCH_API_TOKEN" in refused.text
    assert (await child.get("/api/", Authorization=f"Bearer {TOKEN}")).text == "hello"
    assert (await child.get("/open/")).text == "come in"
    assert await child.status("/nothing-here") == 404
    assert await child.ends(after=signal.SIGTERM) == 0
    assert TOKEN not in child.text()
    refusals = ["api call without a valid token"] * 4
    assert [line["event"] for line in child.said()] == ["http listening", "ready", *refusals, "draining"]


async def test_readiness_follows_the_bus_and_liveness_does_not(
    own_nats: EmbeddedNats, own_chassis: Chassis, start: Start
):
    child = await start(own_nats.url)
    assert await child.status("/readyz") == 200

    async def ready_is(status: int) -> bool:
        return await child.status("/readyz") == status

    await own_nats.stop()
    async with asyncio.timeout(10):
        while not await ready_is(503):
            await asyncio.sleep(0.02)
    assert "not connected to NATS" in (await child.get("/readyz")).json()["problems"]["bus"]
    assert await child.status("/livez") == 200
    await own_nats.start()
    async with asyncio.timeout(10):
        while not await ready_is(200):
            await asyncio.sleep(0.02)
    await own_nats.stop()
    assert await child.ends(after=signal.SIGTERM) == 0
    assert "Traceback" not in child.text()


async def test_sigterm_lets_the_running_handler_finish(
    nats: EmbeddedNats, chassis: Chassis, start: Start, watch: "Watch"
):
    child = await start(nats.url, 1.0)
    await chassis.bus.publish(TaskSubmitted(task="t"))
    await watch.until(lambda: child.has("begun"))
    assert await child.ends(after=signal.SIGTERM) == 0
    assert child.has("done")
    found = await chassis.bus.js.consumer_info(SUBMITTED.stream, SUBMITTED.name)
    assert (found.num_pending, found.num_ack_pending) == (0, 0)


async def test_a_handler_that_takes_too_long_gives_its_message_back(
    nats: EmbeddedNats, chassis: Chassis, start: Start, watch: "Watch"
):
    child = await start(nats.url, 60, DRAIN_SECONDS="0.3")
    await chassis.bus.publish(TaskSubmitted(task="t"))
    await watch.until(lambda: child.has("begun"))
    assert await child.ends(after=signal.SIGTERM) == 0
    subscription = await chassis.bus.js.pull_subscribe_bind(durable=SUBMITTED.name, stream=SUBMITTED.stream)
    (message,) = await subscription.fetch(1, timeout=5)
    assert message.metadata.num_delivered == 2
    assert not child.has("done")


async def test_a_taken_port_is_exit_code_2_and_one_line(nats: EmbeddedNats, start: Start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        child = await start(nats.url, wait="", HTTP_PORT=str(taken.getsockname()[1]))
        assert await child.ends() == 2
    (line,) = child.said()
    assert "set SYNTHBENCH_HTTP_PORT to another one" in line["error"]


async def test_a_wrong_setting_is_exit_code_2_and_one_plain_line(start: Start):
    child = await start("nats://127.0.0.1:1", wait="", LOG_LEVEL="hunter22")
    assert await child.ends() == 2
    assert child.text().startswith("environment SYNTHBENCH_LOG_LEVEL: ")
    assert child.text().count("\n") == 1
    assert "hunter22" not in child.text()


@pytest.mark.parametrize(
    ("mode", "said"), [("no bootstrap", "bootstrap fails"), ("failing task", "task of ours fails")]
)
async def test_a_failure_ends_the_process(mode: str, said: str, nats: EmbeddedNats, chassis: Chassis, start: Start):
    child = await start(nats.url, mode=mode, wait="")
    assert await child.ends() == 1
    assert any(said in line.get("exception", "") for line in child.said())


async def test_it_can_be_stopped_while_it_waits_for_the_bus(start: Start):
    child = await start(f"nats://127.0.0.1:{free_port()}", wait="http listening")
    assert await child.status("/livez") == 200
    assert await child.status("/readyz") == 503
    assert await child.status("/api") == 503
    assert await child.ends(after=signal.SIGTERM) == 1
    assert "Traceback" not in child.text()
