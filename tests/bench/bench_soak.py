"""500 attempts on each engine through the whole product: does anything grow that should not?

Looked at every 50 attempts, when all of them are curated. Trajectories are kept, so the disk fills with them: what is
judged is everything else. Growth is the slope of a straight line through what was seen after the first quarter.
"""

import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from synthbench.sandbox.docker.api import DockerApi
from synthbench.sandbox.errors import EngineUnavailable

from .report import QUICK, Report
from .stack import Stack, memory_mb, running, turns, upstream

sys.path.insert(0, str(Path(__file__).parents[1]))
from remains import left_behind

ATTEMPTS, EVERY = (6, 2) if QUICK else (500, 50)
WORKERS = 4
SERVICES = ("scheduler", "executor", "llm_gateway", "collector", "quality", "diversity")


def main() -> None:
    report = Report("soak")
    with tempfile.TemporaryDirectory(prefix="synthbench-soak-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        with upstream(folder, "model", turns()) as url:
            for engine in engines(report):
                with running(folder / engine, engine, WORKERS, url) as stack:
                    soak(report, stack, engine)
                report.target(f"{engine}_left_when_down", len(left_behind(folder / engine)), "<= 0")
    report.finish(["synth-bench-executor", "synth-bench-sandbox"])


def engines(report: Report) -> list[str]:
    if QUICK:
        return ["bubblewrap"]
    try:
        DockerApi().close()
    except EngineUnavailable as error:
        report.facts["docker"] = f"not soaked: {error}"
        return ["bubblewrap"]
    return ["bubblewrap", "docker"]


def soak(report: Report, stack: Stack, engine: str) -> None:
    seen: dict[str, list[float]] = {}
    for _ in range(0, ATTEMPTS, EVERY):
        stack.make(EVERY)
        for what, value in look(stack).items():
            seen.setdefault(what, []).append(value)
    stack.all_good()
    for what, values in seen.items():
        report.facts[f"{engine}, {what}, every {EVERY} attempts"] = [round(value, 1) for value in values]
    settled = len(next(iter(seen.values()))) // 4
    grown = {what: growth(values[settled:]) for what, values in seen.items()}
    level = statistics.fmean(seen["memory MB of services"])
    report.target(f"{engine}_memory_growth_share", grown["memory MB of services"] / level, "<= 0.1")
    report.target(f"{engine}_descriptors_growth", grown["descriptors of services"], "<= 5")
    report.target(f"{engine}_threads_growth", grown["threads of services"], "<= 5")
    report.target(f"{engine}_sandbox_files_growth", grown["entries of the sandboxes' folder"], "<= 5")
    report.target(f"{engine}_mounts_growth", grown["mounts"], "<= 5")
    report.target(f"{engine}_journal_left", seen["journal entries"][-1], "<= 0")
    report.target(f"{engine}_left_when_idle", len(left_behind(stack.folder, running=True)), "<= 0")


def look(stack: Stack) -> Mapping[str, float]:
    def services(found: Mapping[str, float]) -> float:
        return sum(found.get(name, 0.0) for name in SERVICES)

    return {
        "memory MB of services": services(stack.each(memory_mb)),
        "memory MB of all": sum(stack.each(memory_mb).values()),
        "descriptors of services": services(stack.each(lambda process: count(process / "fd"))),
        "threads of services": services(stack.each(lambda process: count(process / "task"))),
        "entries of the sandboxes' folder": len(list((stack.folder / "sandboxes").rglob("*"))),
        "mounts": len(Path("/proc/mounts").read_text().splitlines()),
        "journal entries": sum(path.is_file() for path in (stack.folder / "artifacts/key/journal").rglob("*")),
        "data folder MB": sum(p.lstat().st_size for p in stack.folder.rglob("*") if p.is_file()) / 1e6,
    }


def count(folder: Path) -> float:
    return sum(1 for _ in folder.iterdir())


def growth(values: list[float]) -> float:
    """How much more there is at the end than at the beginning, by the straight line through all of them."""
    if len(values) < 2:
        return 0.0
    slope, _ = statistics.linear_regression(range(len(values)), values)
    return slope * (len(values) - 1)
