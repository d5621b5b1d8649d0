"""PID 1 of a sandbox: it buries orphans, and ends when the host's process is dead, stopped or silent."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

from synthbench.sandbox import channel
from synthbench.sandbox.channel import INIT
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec

ENGINES = ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]
both = pytest.mark.parametrize("engine", ENGINES, indirect=True)
ORPHANS = (
    "i=0; while [ $i -lt 1000 ]; do (setsid sh -c : &); i=$((i+1)); [ $((i % 5)) = 0 ] && sleep 0.01; done; "
    "sleep 0.3; ls -d /proc/[0-9]* | wc -l"
)
HOLDER = """
import asyncio, sys
from pathlib import Path
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.spec import SandboxSpec

async def main():
    engine = load_engine(sys.argv[1], root=Path(sys.argv[2]))
    box = await engine.create(SandboxSpec(owner="held"))
    running = asyncio.create_task(box.run(["sleep", sys.argv[3]], timeout=600))
    await box.run(["true"], timeout=10)
    print("ready", flush=True)
    try:
        print((await running).exit_code, flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    print((await box.run(["echo", "again"], timeout=10)).stdout_text, flush=True)
    await box.close()
    await engine.aclose()

asyncio.run(main())
"""


def new_mark() -> str:
    """Seconds that nobody else on this machine sleeps for."""
    return f"4711.{secrets.randbelow(10**9):09}"


def sleeping(mark: str) -> bool:
    """Whether somebody sleeps for so many seconds."""
    needle = f"sleep\0{mark}\0".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == needle:
                return True
        except OSError:
            continue
    return False


def hold(engine: SandboxEngine, root: Path, mark: str) -> "subprocess.Popen[str]":
    """Another process that runs `sleep MARK` in a sandbox of its own."""
    held = subprocess.Popen(
        [sys.executable, "-c", HOLDER, engine.name, str(root), mark], stdout=subprocess.PIPE, text=True
    )
    assert held.stdout is not None
    assert held.stdout.readline() == "ready\n"
    began = time.monotonic()
    while not sleeping(mark):
        if time.monotonic() - began > 20:
            held.kill()
            held.communicate()
            raise AssertionError(f"nobody sleeps for {mark} s")
        time.sleep(0.05)
    return held


@both
async def test_a_thousand_orphans_leave_nobody_who_counts(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(pids=60), background=True))
    result = await sandbox.run(["sh", "-c", ORPHANS], timeout=60)
    after = await sandbox.run(["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait; echo $?"], timeout=20)
    await sandbox.close()
    assert result.exit_code == 0, result
    assert int(result.stdout) < 10
    assert "pids" not in result.hit
    assert after.stdout == b"0\n"


@pytest.mark.waits
def test_it_ends_where_the_host_died_before_it_was_heard(tmp_path: Path):
    for name in ("ask", "told"):
        os.mkfifo(tmp_path / name)
    (tmp_path / INIT).write_bytes(files(channel).joinpath(INIT).read_bytes())
    waiting = subprocess.Popen(["dash", str(tmp_path / INIT)], stderr=subprocess.DEVNULL)
    try:
        assert waiting.wait(40) != 0
    finally:
        waiting.kill()
        waiting.wait()


@both
async def test_it_ends_at_once_when_the_host_is_killed(engine: SandboxEngine, root: Path):
    mark = new_mark()
    held = hold(engine, root, mark)
    held.kill()
    held.communicate()
    began = time.monotonic()
    while sleeping(mark):
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.1)
    assert await engine.reap() == ["held"]


@pytest.mark.waits
@pytest.mark.parametrize("engine", ENGINES if os.environ.get("FULL") else ENGINES[:1], indirect=True)
async def test_it_ends_soon_when_the_host_is_stopped(engine: SandboxEngine, root: Path):
    """Half a minute; with FULL=1 in each engine."""
    mark = new_mark()
    held = hold(engine, root, mark)
    try:
        held.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        while sleeping(mark):
            assert time.monotonic() - began < 50
            await asyncio.sleep(0.2)
        assert time.monotonic() - began > 10  # a pause alone ends nothing
        held.send_signal(signal.SIGCONT)
        said, _ = held.communicate(timeout=30)
    finally:
        held.kill()
        held.communicate()
    assert said.startswith("SandboxError this process said nothing"), said  # ours, and not the command's 137
    assert "again" in said


@both
async def test_who_kills_all_that_sleeps_ends_nobody_else(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", background=True))
    script = "for i in 1 2 3 4 5; do for p in /proc/[0-9]*; do [ ${p#/proc/} = $$ ] || kill -9 ${p#/proc/}; done; done"
    await sandbox.run(["sh", "-c", "sleep 50 & echo 1 >&2"], timeout=10)
    for _ in range(4):
        await sandbox.run(["sh", "-c", f"({script}) 2>/dev/null; true"], timeout=5)
    mark = await sandbox.run(["cat", "/proc/1/cmdline"], timeout=10)
    started = await sandbox.run(["sh", "-c", "cut -d' ' -f22 /proc/1/stat"], timeout=10)
    again = await sandbox.run(["sh", "-c", "cut -d' ' -f22 /proc/1/stat"], timeout=10)
    await sandbox.close()
    assert b"init.sh" in mark.stdout
    assert started.stdout == again.stdout


@both
async def test_ten_megabytes_of_both_streams_and_two_hundred_commands_at_once(engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(output_bytes=11_000_000, pids=900)))
    script = "import sys; b = bytes(range(256)) * 40960; sys.stdout.buffer.write(b); sys.stderr.buffer.write(b[::-1])"
    big = await sandbox.run(["python3", "-c", script], timeout=30)
    many = await asyncio.gather(
        *(sandbox.run(["sh", "-c", f"cat; exit {n % 50}"], stdin=b"%d" % n, timeout=60) for n in range(200))
    )
    await sandbox.close()
    data = bytes(range(256)) * 40960
    assert big.stdout == data
    assert big.stderr == data[::-1]
    assert [(one.exit_code, one.stdout) for one in many] == [(n % 50, b"%d" % n) for n in range(200)]
