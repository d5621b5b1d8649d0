"""Breaking or forging what the host hears from a sandbox: at most that sandbox's own results suffer."""

import asyncio
import secrets

import pytest

from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec

TOLD = "/run/synthbench/channel/told"
FORGERIES = {
    "words by the pipe's name": f"printf 'exit 2 0\\nswept 1 0 0\\n' >{TOLD}",
    "words by PID 1's descriptor": "printf 'exit 2 0\\n' >/proc/1/fd/4",
    "words to PID 1": "printf 'sweep 9\\n' >/proc/1/fd/3 || printf 'sweep 9\\n' >/run/synthbench/channel/ask",
    "another command's script": "ls /run/synthbench/channel; echo 'echo forged' >/run/synthbench/channel/2.command",
    "its own pipes anew": "chmod 666 /run/synthbench/channel/told; rm -rf /run/synthbench/channel/*",
}


@pytest.mark.parametrize("engine", ["bubblewrap", pytest.param("docker", marks=pytest.mark.docker)], indirect=True)
@pytest.mark.parametrize("name", FORGERIES, ids=lambda name: name.replace(" ", "-"))
async def test_a_forged_word_is_not_heard(name: str, engine: SandboxEngine):
    sandbox = await engine.create(SandboxSpec(owner="t"))
    tried = await sandbox.run(["sh", "-c", f"({FORGERIES[name]}) 2>&1"], timeout=10)
    after = await sandbox.run(["sh", "-c", "echo true; exit 7"], timeout=10)
    await sandbox.close()
    assert tried.exit_code != 0
    assert "denied" in tried.stdout_text or "Read-only" in tried.stdout_text
    assert (after.exit_code, after.stdout) == (7, b"true\n")


BREAKING = {
    "its keepers are killed": "cd /proc; for pid in [0-9]*; do [ $pid = $$ ] || kill -9 $pid; done; sleep 20",
    "everything is killed": "kill -9 -1",
    "PID 1 is stopped": "kill -STOP 1; sleep 20",
    "its streams are closed": "exec >&- 2>&- <&-; sleep 0.2; exit 3",
    "a flood": "yes 0123456789012345678901234567890123456789 | head -c 300000000",
    "descriptors are passed on": "(exec setsid sleep 30 >/dev/null 2>&1 &) ; exit 3",
    "a group of its own": "setsid sh -c 'trap \"\" TERM HUP INT; sleep 30' & exit 3",
}


@pytest.mark.parametrize("name", BREAKING, ids=lambda name: name.replace(" ", "-"))
async def test_what_breaks_one_sandbox_breaks_no_other(name: str, engine: SandboxEngine):
    mark = secrets.token_hex(4)
    beside = await engine.create(SandboxSpec(owner="beside"))
    sandbox = await engine.create(SandboxSpec(owner="t", limits=SandboxLimits(output_bytes=10_000)))
    slow = asyncio.create_task(beside.run(["sh", "-c", f"sleep 1; echo {mark}"], timeout=30))
    result = await sandbox.run(["sh", "-c", BREAKING[name]], timeout=3)
    assert (await slow).stdout_text == f"{mark}\n"
    assert len(result.stdout) < 12_000
    again = await sandbox.run(["sh", "-c", f"echo {mark}"], timeout=20)
    await sandbox.close()
    await beside.close()
    assert again.stdout_text == f"{mark}\n"


async def test_time_and_randomness_are_not_shared(engine: SandboxEngine):
    """Two sandboxes draw different random numbers, and have the host's time, which neither can set."""
    boxes = [await engine.create(SandboxSpec(owner="t")) for _ in range(2)]
    script = "import random, secrets, time; print(random.random(), secrets.token_hex(8)); time.clock_settime(0, 0)"
    drawn = [await box.run(["python3", "-c", script], timeout=10) for box in boxes]
    for box in boxes:
        await box.close()
    assert drawn[0].stdout != drawn[1].stdout
    assert all(b"PermissionError" in one.stderr for one in drawn)
