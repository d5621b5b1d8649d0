"""The harbor profile: root inside, in a root of its own. What wins in a weakened sandbox (`test_attacks`) loses here.

What root owns inside is its own: its password hashes, its system, its daemons. The host, the kernel and neighbours are
not.
"""

import asyncio
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path
from types import ModuleType

import pytest
import pytest_asyncio

from synthbench.sandbox.docker import BASE_IMAGE
from synthbench.sandbox.errors import SandboxError, SandboxKilled
from synthbench.sandbox.host.local import LocalSandbox
from synthbench.sandbox.image import ImageSource
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec


def beside(name: str) -> ModuleType:
    """A module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(f"root_inside_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


suite = beside("test_attacks")
attacks, targets, nats_port = suite.attacks, suite.targets, suite.nats_port
Attack = attacks.Attack

OWN = {"password hashes", "write to the system", "become root", "a daemon that outlives its command"}
"""Root's own matters inside."""
SLOW = {"many files", "empty files", "processor time"}
"""Nothing about root."""
MORE = [
    Attack("release agent of a control group", """
        import glob
        open(glob.glob("/sys/fs/cgroup/*/release_agent")[0], "w").close()
        won()
    """),
    Attack("mount a control group", """
        call("mount", b"cgroup", os.getcwd().encode(), b"cgroup", 0, b"memory")
        won()
    """),
    Attack("write to a read-only mount of the host", """
        call("mount", b"none", b"/run/synthbench/channel", None, 0x20 | 0x1000, None)
        open("/run/synthbench/channel/planted", "w").close()
        won()
    """),
    Attack("memory of the machine", "open('/dev/mem', 'rb').close(); won()"),
    Attack("a block device in the workspace", """
        os.mknod("disk", 0o600 | 0o060000, os.makedev(*T["root_device"]))
        won()
    """),
    Attack("capabilities that it was not given", """
        held = int([line for line in open("/proc/self/status") if line.startswith("CapBnd")][0].split()[1], 16)
        allowed = sum(1 << number for number in (0, 1, 3, 4, 5, 6, 7, 10))
        won(hex(held)) if held & ~allowed else lost(hex(held))
    """),
    Attack("load a kernel module by its loader", """
        done = subprocess.run(["modprobe", "dummy"], capture_output=True)
        won() if done.returncode == 0 else lost(done.stderr)
    """),
    Attack("firewall and routes", """
        import fcntl
        with socket.socket() as any:
            fcntl.ioctl(any, 0x890B, struct.pack("120s", b""))
        won()
    """),
]  # fmt: skip
TRIED = [one for one in attacks.ALL if one.name not in OWN | SLOW] + MORE

pytestmark = [
    pytest.mark.docker,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        os.geteuid() != 0 or sys.platform != "linux", reason="root inside needs an executor that is root"
    ),
]


def spec(image: str) -> SandboxSpec:
    limits = SandboxLimits(memory_mb=192, pids=40, disk_mb=64, files=256, cpus=0.5)
    return SandboxSpec(owner="root", limits=limits, image=image, root="writable", user="root", background=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncGenerator[SandboxEngine]:
    async with beside("conftest").usable("docker") as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(engine: SandboxEngine) -> AsyncGenerator[LocalSandbox]:
    made = await engine.create(spec((await engine.image(ImageSource(name=BASE_IMAGE))).id))
    assert isinstance(made, LocalSandbox)
    yield made
    await made.close()


@pytest.mark.parametrize("attack", TRIED, ids=lambda attack: attack.name.replace(" ", "-"))
async def test_it_loses(attack, sandbox: Sandbox, targets):
    result = await sandbox.run(["python3", "-I", *suite.script(attack, targets)], timeout=30)
    assert "WON" not in result.stdout_text, result.stdout_text + result.stderr_text
    targets.unharmed()


async def test_what_fills_the_root_is_ended(sandbox: Sandbox):
    fill = "for n in 1 2 3 4 5 6 7 8 9; do dd if=/dev/zero of=/var/big$n bs=1M count=20 2>/dev/null; sleep 0.3; done"
    result = await sandbox.run(["sh", "-c", fill], timeout=30)
    assert result.hit == ("disk",)


async def test_a_set_uid_file_in_the_workspace_helps_nobody_on_the_host(sandbox: LocalSandbox):
    before = await sandbox.snapshot()
    await sandbox.run(["sh", "-c", "cp /bin/sh rootsh && chmod 6755 rootsh . && mkdir -m 777 open"], timeout=20)
    planted = sandbox.folders.workspace / "rootsh"
    assert (planted.stat().st_mode & 0o7777, planted.stat().st_uid) == (0o6755, 0)
    with pytest.raises(PermissionError):
        subprocess.run([planted, "-pc", "id -u"], user=65534, group=65534, extra_groups=[], check=False)
    diff = await sandbox.diff(before)
    assert [path for path, _ in diff.refused] == ["rootsh"]
    with tarfile.open(fileobj=io.BytesIO(await sandbox.download())) as tar:
        assert "rootsh" not in tar.getnames()
    await sandbox.close()
    assert not planted.exists()


async def test_links_do_not_lead_our_hands_out(sandbox: LocalSandbox, targets):
    neighbour = str(targets.values["neighbour"])
    made = f"mkdir -p {neighbour} && ln -s {neighbour} /tests && ln -s ../../../../../../../../{neighbour} /more"
    await sandbox.run(["sh", "-c", made], timeout=20)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("tests/planted")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"here"))
    for to in ("/", "/more"):
        try:
            await sandbox.put(buffer.getvalue(), to=to)
        except SandboxError:
            continue
    assert [path.name for path in Path(neighbour).iterdir()] == ["mine"]
    fetched = await sandbox.fetch("/more/.")
    assert b"mine" not in (fetched or b"")
    targets.unharmed()


async def test_when_it_is_killed_nothing_begins_anew_in_silence(engine: SandboxEngine, sandbox: LocalSandbox):
    """What was installed is gone with PID 1: a fresh root would be another world."""
    await sandbox.run(["touch", "/installed"], timeout=20)
    folder = next(sandbox.folders.top.glob("channel-*"))
    assert folder.exists()
    container = f"synthbench-{sandbox.id}-1"
    await asyncio.to_thread(subprocess.run, ["docker", "kill", container], capture_output=True, check=True)
    while sandbox.launcher.alive:  # pyright: ignore[reportAttributeAccessIssue] - a ChannelLauncher
        await asyncio.sleep(0.05)
    with pytest.raises(SandboxKilled, match="killed from outside"):
        await sandbox.run(["ls", "/installed"], timeout=20)
