"""Sandboxes: `docker exec` through the SDK, our channel into Docker, and bubblewrap, beside each other in one run.

Without a Docker engine only bubblewrap is measured, and the report says so.
"""

import asyncio
import io
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from synthbench.sandbox.docker import DockerEngine
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable
from synthbench.sandbox.host.system import find_bubblewrap
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.spec import SandboxLimits, SandboxSpec

from .report import QUICK, Report
from .sdk import Sdk

ROUNDS = 10 if QUICK else 200
CYCLES = 3 if QUICK else 40
BIG = 3 if QUICK else 20
LIVE = (1, 4) if QUICK else (1, 8, 32, 64)
FILES = (1000,) if QUICK else (1000, 10_000, 50_000)
PACE = 0.5  # seconds from one acquisition to the next: what agents on two cores ask for, sustained
BARE = ["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr",
        "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # fmt: skip
MEGABYTE = ["head", "-c", "1000000", "/dev/zero"]
LIMITS = SandboxLimits(memory_mb=256, pids=64)


def main() -> None:
    report = Report("sandbox")
    asyncio.run(measure(report))
    report.finish(["synth-bench-sandbox"])


async def measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        bubblewrap = load_engine("bubblewrap", root=folder / "boxes")
        report.facts["isolation, bubblewrap"] = str(await bubblewrap.probe())
        program = find_bubblewrap(folder / "bare").path
        await commands(report, bubblewrap, "bubblewrap", floor=[str(program), *BARE, "/bin/true"])
        await cycles(report, bubblewrap, "bubblewrap")
        await growth(report, bubblewrap, "bubblewrap")
        await state(report, bubblewrap, "bubblewrap")
        report.target("noop_over_bare_bwrap", report.p50("no-op, bubblewrap") / report.p50("no-op, floor"), "<= 3")
        report.target("bubblewrap_cycle_ms", report.p50("cycle, bubblewrap"), "<= 30")
        report.target(
            "state_ms_in_10000_files", report.p50(f"state after a step, {FILES[:2][-1]} files, bubblewrap"), "<= 10"
        )
        await bubblewrap.aclose()
        cold, warm = DockerEngine(folder / "cold", warm=0), DockerEngine(folder / "warm")
        try:
            report.facts["isolation, docker"] = str(await cold.probe())
            await warm.probe()
        except EngineUnavailable as error:
            report.facts["docker was not measured"] = str(error)
            await cold.aclose()
            return
        await docker(report, cold, warm)
        await cold.aclose()
        await warm.aclose()


async def docker(report: Report, cold: DockerEngine, warm: DockerEngine) -> None:
    with_sdk = Sdk()
    await commands(report, cold, "channel", sdk=with_sdk)
    await cycles(report, cold, "docker, cold")
    await cycles(report, warm, "docker, warm")
    for _ in range(CYCLES):
        await report_time(report, "cycle, SDK", lambda: asyncio.to_thread(with_sdk.cycle))
    await growth(report, warm, "docker")
    await state(report, warm, "docker")
    await asyncio.to_thread(with_sdk.close)
    ratio = report.p50("no-op, channel") / report.p50("no-op, SDK exec")
    report.target("channel_noop_over_exec", ratio, "<= 0.1")
    first = "to the first result, docker"
    report.target("warm_over_cold", report.p50(f"{first}, warm") / report.p50(f"{first}, cold"), "<= 0.1")


async def commands(
    report: Report, engine: SandboxEngine, name: str, *, floor: list[str] | None = None, sdk: Sdk | None = None
) -> None:
    """Interleaved: whatever else the machine does meets all of them."""
    sandbox = await engine.create(SandboxSpec(owner="bench", limits=LIMITS))
    for _ in range(ROUNDS):
        if floor:
            await report_time(report, "no-op, floor", lambda: bare(floor))
        if sdk:
            await report_time(report, "no-op, SDK exec", lambda: asyncio.to_thread(sdk.run, ["true"]))
        await report_time(report, f"no-op, {name}", lambda: ok(sandbox, ["true"]))
    archive = ten_megabytes()
    for _ in range(BIG):
        if sdk:
            await report_time(report, "1 MB output, SDK exec", lambda: asyncio.to_thread(sdk.run, MEGABYTE))
            await report_time(report, "10 MB upload, SDK", lambda: asyncio.to_thread(sdk.upload, archive))
        await report_time(report, f"1 MB output, {name}", lambda: ok(sandbox, MEGABYTE))
        await report_time(report, f"10 MB upload, {name}", lambda: sandbox.upload(archive))
    await sandbox.close()


async def cycles(report: Report, engine: SandboxEngine, name: str) -> None:
    """One after the other at a steady pace, as a running campaign takes them."""
    for number in range(CYCLES + 3):
        began = time.perf_counter()
        sandbox = await engine.create(SandboxSpec(owner="bench", limits=LIMITS))
        await ok(sandbox, ["true"])
        first = time.perf_counter() - began
        await sandbox.close()
        whole = time.perf_counter() - began
        if number >= 3:  # by then a pool has seen the demand
            report.add(f"to the first result, {name}", first * 1000)
            report.add(f"cycle, {name}", whole * 1000)
        await asyncio.sleep(max(0.0, PACE - whole) if name.startswith("docker") else 0)


async def growth(report: Report, engine: SandboxEngine, name: str) -> None:
    """More and more at once; each answers."""
    live: list[Sandbox] = []
    for count in LIVE:
        spec = SandboxSpec(owner="bench", limits=LIMITS)
        more = await asyncio.gather(*(engine.create(spec) for _ in range(count - len(live))))
        await asyncio.gather(*(ok(sandbox, ["true"]) for sandbox in more))  # what starts with the first command has
        live += more
        times: list[float] = []
        for sandbox in live:
            began = time.perf_counter()
            await ok(sandbox, ["true"])
            times.append((time.perf_counter() - began) * 1000)
        report.facts[f"no-op with {count} live, {name}, p50 ms"] = round(statistics.median(times), 2)
        began = time.perf_counter()
        await asyncio.gather(*(ok(sandbox, ["true"]) for sandbox in live))
        report.facts[f"all {count} at once, {name}, ms each"] = round((time.perf_counter() - began) * 1000 / count, 2)
    report.facts[f"live without an error, {name}"] = len(live)
    await asyncio.gather(*(sandbox.close() for sandbox in live))


async def state(report: Report, engine: SandboxEngine, name: str) -> None:
    """What a step's state costs after a command that changed one file, while the workspace grows."""
    for files in FILES:
        sandbox = await engine.create(SandboxSpec(owner="bench"))
        script = f"for d in $(seq 1 {files // 100}); do mkdir $d; for i in $(seq 100); do echo $i >$d/$i; done; done"
        await sandbox.run(["bash", "-c", script], timeout=120)
        base = await sandbox.snapshot()
        for number in range(BIG):
            await sandbox.run(["bash", "-c", f"echo changed > 1/{number + 1}"], timeout=10)
            began = time.perf_counter()
            diff, base = await sandbox.step(base)
            report.add(f"state after a step, {files} files, {name}", (time.perf_counter() - began) * 1000)
            assert [one.path for one in diff.changes] == [f"1/{number + 1}"]
        await sandbox.close()


async def report_time(report: Report, case: str, work: Callable[[], Awaitable[object]]) -> None:
    began = time.perf_counter()
    await work()
    report.add(case, (time.perf_counter() - began) * 1000)


async def ok(sandbox: Sandbox, argv: list[str]) -> None:
    result = await sandbox.run(argv, timeout=30)
    assert result.exit_code == 0, result.stderr_text


async def bare(argv: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await process.communicate()
    assert process.returncode == 0


def ten_megabytes() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("big.bin")
        info.size = 10_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    return buffer.getvalue()
