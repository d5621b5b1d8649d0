"""A sandbox that somebody outside ends is our failure, at once; what an agent does to its own PID 1 stays its own."""

import asyncio
import os
import signal
import time
from pathlib import Path

import docker
import pytest

from synthbench.sandbox.errors import SandboxKilled
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec


@pytest.fixture
def engine_with_pid1(engine: SandboxEngine) -> SandboxEngine:
    if engine.name == "process":
        pytest.skip("the process engine has no PID 1")
    return engine


def pid1_of(sandbox: Sandbox) -> int:
    """PID 1 of a bubblewrap sandbox, as the host calls it: the child of the bwrap that names the sandbox."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = dict(line.split(":", 1) for line in (path / "status").read_text().splitlines())
            parent = Path("/proc", status["PPid"].strip(), "cmdline").read_bytes()
        except (OSError, ValueError):
            continue
        namespaces = status["NSpid"].split()
        if len(namespaces) > 1 and namespaces[-1] == "1" and sandbox.id.encode() in parent:
            return int(path.name)
    raise AssertionError("no PID 1")


def kill_from_outside(engine: SandboxEngine, sandbox: Sandbox) -> None:
    if engine.name == "docker":
        client = docker.from_env()
        for container in client.containers.list(filters={"name": sandbox.id}):
            container.kill()
        client.close()
    else:
        os.kill(pid1_of(sandbox), signal.SIGKILL)


async def test_killed_from_outside_while_a_command_runs_is_a_typed_error_at_once(engine_with_pid1: SandboxEngine):
    engine = engine_with_pid1
    sandbox = await engine.create(SandboxSpec(owner="victim"))
    try:
        running = asyncio.create_task(sandbox.run(["sleep", "30"], timeout=60))
        await asyncio.sleep(1)
        began = time.monotonic()
        await asyncio.to_thread(kill_from_outside, engine, sandbox)
        with pytest.raises(SandboxKilled, match="killed from outside"):
            await running
        assert time.monotonic() - began < 10
        with pytest.raises(SandboxKilled):  # no silent new sandbox
            await sandbox.run(["true"], timeout=10)
    finally:
        await sandbox.close()


async def test_killed_from_outside_between_two_commands_is_told_by_the_next_one(engine_with_pid1: SandboxEngine):
    engine = engine_with_pid1
    sandbox = await engine.create(SandboxSpec(owner="victim"))
    try:
        await sandbox.run(["true"], timeout=10)
        await asyncio.to_thread(kill_from_outside, engine, sandbox)
        await asyncio.sleep(1)
        with pytest.raises(SandboxKilled):
            await sandbox.run(["true"], timeout=10)
    finally:
        await sandbox.close()


async def test_killed_from_outside_while_a_shell_runs_is_a_typed_error(engine_with_pid1: SandboxEngine):
    engine = engine_with_pid1
    sandbox = await engine.create(SandboxSpec(owner="victim"))
    try:
        shell = await sandbox.shell()
        running = asyncio.create_task(shell.run("sleep 30", timeout=60))
        await asyncio.sleep(1)
        await asyncio.to_thread(kill_from_outside, engine, sandbox)
        with pytest.raises(SandboxKilled):
            await running
    finally:
        await sandbox.close()


OWN_DOING = {
    "signals": "for s in 1 2 3 4 6 7 8 9 11 14 15; do kill -$s 1; done; sleep 3",
    "all processes": "kill -9 -1; sleep 3",
    "exit by the debugger": """python3 - <<'END'
import ctypes, os, signal, time
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
if libc.ptrace(16, 1, None, None) == 0:
    os.waitpid(1, 0)
    libc.ptrace(8, 1, None, None)
    libc.ptrace(17, 1, None, ctypes.c_void_p(9))
time.sleep(3)
END""",
    "crash by its memory": """python3 - <<'END'
import re, time
try:
    with open("/proc/1/maps") as maps, open("/proc/1/mem", "r+b", buffering=0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) r.xp", line)
            if found:
                start, end = (int(number, 16) for number in found.groups())
                memory.seek(start); memory.write(b"\\xcc" * (end - start))
except OSError as error:
    print(error)
time.sleep(3)
END""",
    "limit of processor time": """python3 - <<'END'
import ctypes, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)
limits = (ctypes.c_ulong * 2)(1, 1)
print(libc.prlimit(1, 0, limits, None), ctypes.get_errno())
for number in range(300): subprocess.run(["sh", "-c", "(sleep 0.01 &)"])
time.sleep(1)
END""",
    "out of memory": """echo 1000 > /proc/1/oom_score_adj; python3 -c 'x = bytearray(10**9)
for i in range(0, 10**9, 4096): x[i] = 1'; sleep 1""",
}


@pytest.mark.parametrize("way", list(OWN_DOING))
async def test_what_an_agent_does_to_its_own_pid1_is_a_result_and_no_error(engine_with_pid1: SandboxEngine, way: str):
    sandbox = await engine_with_pid1.create(SandboxSpec(owner="agent", limits=SandboxLimits(memory_mb=256)))
    try:
        result = await sandbox.run(["sh", "-c", OWN_DOING[way]], timeout=30)
        assert result.exit_code is not None, result.hit
        assert (await sandbox.run(["echo", "on"], timeout=20)).stdout == b"on\n"
    finally:
        await sandbox.close()
