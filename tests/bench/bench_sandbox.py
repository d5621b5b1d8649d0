"""The bubblewrap engine beside a bare `bwrap` of the same kind and a bare process."""

import asyncio
import subprocess
import tempfile
import time
from pathlib import Path

from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.host.system import find_bubblewrap
from synthbench.sandbox.protocol import SandboxSpec

from .report import QUICK, Report

ROUNDS = 20 if QUICK else 300
CYCLES = 5 if QUICK else 50
BARE = ["--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr",
        "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # fmt: skip


def main() -> None:
    report = Report("sandbox")
    asyncio.run(measure(report))
    report.target("noop_over_bare_bwrap", report.p50("no-op, our bubblewrap") / report.p50("no-op, bare bwrap"), "<= 3")
    report.finish(["synth-bench-sandbox"])


async def measure(report: Report) -> None:
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-") as folder:
        Path(folder).chmod(0o711)
        engine = load_engine("bubblewrap", root=Path(folder, "boxes"))
        report.facts["isolation"] = str(await engine.probe())
        bwrap = find_bubblewrap(Path(folder, "bare")).path
        sandbox = await engine.create(SandboxSpec(owner="bench"))
        for _ in range(ROUNDS):  # interleaved: whatever else the machine does meets all of them
            with timed(report, "no-op, bare process"):
                await run("/bin/true")
            with timed(report, "no-op, bare bwrap"):
                await run(str(bwrap), *BARE, "/bin/true")
            with timed(report, "no-op, our bubblewrap"):
                result = await sandbox.run(["true"], timeout=10)
            assert result.exit_code == 0
        await sandbox.close()
        for _ in range(CYCLES):
            with timed(report, "create, first command, close"):
                fresh = await engine.create(SandboxSpec(owner="bench"))
                await fresh.run(["true"], timeout=10)
                await fresh.close()
        await engine.aclose()


class timed:  # noqa: N801 - reads as a word
    def __init__(self, report: Report, case: str) -> None:
        self._report, self._case = report, case

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._report.add(self._case, (time.perf_counter() - self._began) * 1000)


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    await process.communicate()
    assert process.returncode == 0, command
