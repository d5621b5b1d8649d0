"""An executor is cut off from the bus for longer than its lease, and comes back: two attempts, one counts, both kept.

The executor lives in a network namespace of its own, whose only link is taken down: no reset, no error, just silence.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from fire import Field, wait

pytestmark = [pytest.mark.alone, pytest.mark.timeout(200)]

LEASE = 3
NAME = "synthbench-test"
HOST, INSIDE = "10.233.77.1", "10.233.77.2"


def sh(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)


@pytest.fixture
def namespace() -> Iterator[str]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            sh("apt-get", "install", "-y", "-qq", "iproute2")
        else:
            pytest.skip("a network namespace needs root and the program `ip` (iproute2)")
    with contextlib.suppress(subprocess.CalledProcessError):
        sh("ip", "netns", "delete", NAME)
    sh("ip", "netns", "add", NAME)
    sh("ip", "link", "add", "sbt0", "type", "veth", "peer", "name", "sbt1", "netns", NAME)
    sh("ip", "address", "add", f"{HOST}/30", "dev", "sbt0")
    sh("ip", "link", "set", "sbt0", "up")
    sh("ip", "-n", NAME, "address", "add", f"{INSIDE}/30", "dev", "sbt1")
    sh("ip", "-n", NAME, "link", "set", "sbt1", "up")
    sh("ip", "-n", NAME, "link", "set", "lo", "up")
    yield NAME
    sh("ip", "netns", "delete", NAME)


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def forward(ports: tuple[int, ...], stopped: asyncio.Event, ready: threading.Event) -> None:
    async def serve(port: int) -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(pipe(reader, back), pipe(there, writer))

        return await asyncio.start_server(connected, HOST, port)

    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            server = await serve(port)
            stack.callback(server.close)
        ready.set()
        await stopped.wait()


@contextlib.contextmanager
def forwarded(*ports: int) -> Generator[None]:
    """Let the namespace reach the stack's loopback ports at the same numbers."""
    ready, stopped = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def run() -> None:
        loops.append(asyncio.get_running_loop())
        await forward(ports, stopped, ready)

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(5)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(stopped.set)
        thread.join(5)


@pytest.fixture
def field(data_folders: Path, make_stack) -> Iterator[Field]:
    stack = make_stack(
        data_folders / f"partition-{time.time_ns()}", SYNTHBENCH_LEASE_SECONDS=str(LEASE),
        SYNTHBENCH_SIM_LATENCY_MS="400", SYNTHBENCH_GIVE_UP_SECONDS="5", SYNTHBENCH_RETRY_PAUSE_SECONDS="0.2",
    )  # fmt: skip
    stack.run("up")
    made = Field(stack, data_folders)
    yield made
    made.counter.stop()
    made.http.close()
    stack.down()


def start_cut_off(field: Field, namespace: str, ports: tuple[int, int]) -> subprocess.Popen[bytes]:
    folder = field.stack.folder
    secret = {name: (folder / "secrets" / name).read_text() for name in ("nats-executor", "api-token")}
    env = {
        **field.stack.env,
        "SYNTHBENCH_NATS_URL": f"nats://{HOST}:{ports[0]}", "SYNTHBENCH_NATS_USER": "executor",
        "SYNTHBENCH_NATS_PASSWORD": secret["nats-executor"], "SYNTHBENCH_GATEWAY_URL": f"http://{HOST}:{ports[1]}",
        "SYNTHBENCH_ARTIFACTS_URL": f"file://{folder}/artifacts", "SYNTHBENCH_PERMITS": "1",
        "SYNTHBENCH_SANDBOX_ROOT": str(folder / "sandboxes"), "SYNTHBENCH_API_TOKEN": secret["api-token"],
        "SYNTHBENCH_NATS_SYNC_SECONDS": "1",
    }  # fmt: skip
    with (folder / "logs" / "cut-off.log").open("wb") as log:
        command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "synthbench.executor"]
        return subprocess.Popen(command, env=env, stdout=log, stderr=log)


def test_an_executor_in_another_network_is_cut_off_and_comes_back(field: Field, namespace: str):
    urls = field.stack.status()["urls"]
    ports = (int(field.counter.url.rpartition(":")[2]), int(urls["llm_gateway"].rpartition(":")[2]))
    resident = field.pids("executor")[0]
    os.kill(resident, signal.SIGSTOP)  # the rollout has to go to the one that will be cut off
    with forwarded(*ports):
        cut_off = start_cut_off(field, namespace, ports)
        try:
            field.submit(samples=1)
            wait(lambda: field.one("select count(*) from catalogue.steps") >= 2, 60, "two steps of the first attempt")
            sh("ip", "link", "set", "sbt0", "down")
            os.kill(resident, signal.SIGCONT)
            second = "select count(*) from scheduler.attempts where attempt = 2"
            wait(lambda: field.one(second) > 0, 60, "a second attempt")
            time.sleep(LEASE)
            sh("ip", "link", "set", "sbt0", "up")
            field.judge()
        finally:
            cut_off.terminate()
            cut_off.wait(40)
    lost = "select count(*) from scheduler.attempts where attempt = 1 and not counted and outcome = 'infra_error'"
    assert field.one(lost) >= 1
    twice = """
        select count(*) from (
            select rollout_id from catalogue.trajectories group by 1
            having count(*) = 2 and count(*) filter (where counted) = 1) as kept
    """
    assert field.one(twice) >= 1
    assert field.one("select count(*) from catalogue.trajectories where not counted and steps >= 2") >= 1
