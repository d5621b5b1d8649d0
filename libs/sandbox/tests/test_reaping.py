"""An engine that was killed leaves sandboxes; the next engine takes them away, and nobody else's."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthbench.sandbox.host.folders import make_folders
from synthbench.sandbox.host.uids import can_lease, lease_uid
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.sandbox.spec import SandboxSpec


def groups(part: str) -> list[str]:
    """Control groups of ours with this in their names."""
    walked = os.walk("/sys/fs/cgroup")  # unlike rglob it does not stumble over one that goes
    return [name for _, names, _ in walked for name in names if name.startswith("synthbench-") and part in name]


HOLDER = """
import asyncio, sys
from pathlib import Path
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.spec import SandboxSpec

async def main():
    engine = load_engine(sys.argv[1], root=Path(sys.argv[2]))
    box = await engine.create(SandboxSpec(owner="left-behind"))
    asyncio.get_running_loop().create_task(box.run(["sleep", "4321"], timeout=60))
    await box.run(["true"], timeout=10)
    print("ready", file=sys.stderr, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def processes(argument: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument in path.read_bytes().decode().split("\0"):
                found.append(path.parent.name)
        except OSError:
            continue
    return found


async def test_what_a_killed_engine_left_is_taken_away(engine: SandboxEngine, root: Path):
    mine = await engine.create(SandboxSpec(owner="mine"))
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, engine.name, str(root)], stderr=subprocess.PIPE, text=True)
    assert holder.stderr is not None
    assert holder.stderr.readline() == "ready\n"
    assert await engine.reap() == []  # it lives
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait(10)
    holder.stderr.close()
    assert await engine.reap() == ["left-behind"]
    assert await engine.reap() == []
    assert [path.name for path in (root / engine.name).iterdir() if not path.name.startswith(".")] == [mine.id]
    assert len(list((root / engine.name).glob(".engine-*"))) == 2  # our folder and its lock
    assert (await mine.run(["true"], timeout=10)).exit_code == 0
    await mine.close()
    deadline = time.monotonic() + 5
    while processes("4321") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes("4321") == []
    assert groups("probe") == []


CLOSER = """
import asyncio, os, sys
from pathlib import Path
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.host import local
from synthbench.sandbox.spec import SandboxSpec

async def main():
    engine = load_engine(sys.argv[1], root=Path(sys.argv[2]))
    box = await engine.create(SandboxSpec(owner="half-closed"))
    await box.run(["true"], timeout=10)
    print(box.id, flush=True)
    remove = local.remove
    def removed_and_killed(folder):
        if sys.argv[3] == "after":
            remove(folder)
        os.kill(os.getpid(), 9)
    local.remove = removed_and_killed
    await box.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_before_or_after_the_folder_went_nothing_stays(engine: SandboxEngine, root: Path, moment: str):
    argv = [sys.executable, "-c", CLOSER, engine.name, str(root), moment]
    ended = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    await engine.reap()
    assert [path.name for path in (root / engine.name).iterdir() if not path.name.startswith(".")] == []
    assert groups(ended.stdout.strip()) == []


@pytest.mark.skipif(not can_lease(), reason="only root gives sandboxes uids of their own")
async def test_a_uid_that_a_living_sandbox_has_by_now_keeps_its_processes(bubblewrap: SandboxEngine, root: Path):
    living = lease_uid(root / "bubblewrap")  # as another engine would, which does not see this one's folders
    left = make_folders(root / "bubblewrap", "deadbeef", "left-behind", living.uid, ".engine-of-nobody")
    process = subprocess.Popen(["sleep", "60"], user=living.uid)
    assert await bubblewrap.reap() == ["left-behind"]
    assert not left.top.exists()
    assert process.poll() is None
    living.release()
    make_folders(root / "bubblewrap", "deadbeef", "left-behind", living.uid, ".engine-of-nobody")
    assert await bubblewrap.reap() == ["left-behind"]
    assert process.wait(5) == -signal.SIGKILL
