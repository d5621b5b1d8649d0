"""What a command leaves running, in sandboxes whose spec lets it live."""

import asyncio
import time

import pytest

from commands import shell
from synthbench.sandbox.errors import PathRefused, SpecRefused
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxSpec

BEATING = "while :; do date +%N > {0}; sleep 0.02; done"
SPEC = SandboxSpec(owner="test", background=True)


offered = pytest.mark.parametrize(
    "engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)], indirect=True
)


@pytest.mark.parametrize("engine", ["process"], indirect=True)
async def test_an_engine_that_cannot_says_so(engine: SandboxEngine):
    with pytest.raises(SpecRefused, match="ends everything with its command"):
        await engine.create(SPEC)


async def beats(sandbox: Sandbox, name: str) -> bool:
    """Whether somebody still writes to a file."""
    try:
        before = await sandbox.read(name)
    except PathRefused:
        before = b""
    for _ in range(10):  # on a busy machine a beat takes its time
        await asyncio.sleep(0.1)
        if await sandbox.read(name) != before:
            return True
    return False


@offered
@pytest.mark.parametrize("how", ["{} &", "nohup sh -c '{}' &", "setsid sh -c '{}' &", "(setsid sh -c '{}' &) &"])
async def test_what_a_command_leaves_lives_until_it_is_killed(engine: SandboxEngine, how: str):
    sandbox = await engine.create(SPEC)
    began = time.monotonic()
    left = await shell(sandbox, f"{how.format(BEATING.format('beat'))} echo started")
    assert (left.exit_code, left.stdout) == (0, b"started\n")
    assert time.monotonic() - began < 3  # its open pipes keep nobody waiting
    assert (await shell(sandbox, "sleep 0.1")).exit_code == 0
    assert await beats(sandbox, "beat")
    await sandbox.kill()
    assert not await beats(sandbox, "beat")
    assert (await shell(sandbox, "true")).exit_code == 0
    await sandbox.close()


@offered
async def test_a_service_answers_a_later_command_though_nobody_reads_its_log(engine: SandboxEngine):
    sandbox = await engine.create(SPEC)
    await sandbox.write("word", b"served")
    await shell(sandbox, "python3 -m http.server 8765 --bind 127.0.0.1 &")
    ask = (
        "import time, urllib.request\n"
        "for _ in range(200):\n"
        "    try: print(urllib.request.urlopen('http://127.0.0.1:8765/word').read()); break\n"
        "    except OSError: time.sleep(0.05)\n"
    )
    answers = [await sandbox.run(["python3", "-c", ask], timeout=20) for _ in range(3)]
    await sandbox.close()
    assert [answer.stdout for answer in answers] == [b"b'served'\n"] * 3


@offered
async def test_a_timeout_takes_its_own_group_and_nobody_elses(engine: SandboxEngine):
    sandbox = await engine.create(SPEC)
    await shell(sandbox, f"{BEATING.format('service')} &")
    beside = asyncio.create_task(shell(sandbox, "sleep 1; echo done"))
    await asyncio.sleep(0.1)
    ended = await shell(sandbox, f"{BEATING.format('own')} & sleep 60", timeout=0.4)
    assert (ended.timed_out, ended.exit_code) == (True, None)
    assert not await beats(sandbox, "own")
    assert await beats(sandbox, "service")
    assert (await beside).stdout == b"done\n"
    await sandbox.close()


@offered
async def test_a_cancelled_command_takes_its_group_with_it_from_its_first_moment_on(engine: SandboxEngine):
    sandbox = await engine.create(SPEC)
    beside = asyncio.create_task(shell(sandbox, "sleep 1; echo done"))
    await asyncio.sleep(0.1)
    for pause in (0, 0.0005, 0.001, 0.002, 0.004, 0.008):
        task = asyncio.create_task(shell(sandbox, BEATING.format("beat")))
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await sandbox.write("beat", b"")
    assert not await beats(sandbox, "beat")
    assert (await beside).stdout == b"done\n"
    await sandbox.close()
