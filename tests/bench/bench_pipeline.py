"""Six-step trajectories through the whole product (stored, verified twice, scored, deduplicated), and the peers.

All ask the same model of zero latency. In bubblewrap (the default) beside mini-swe-agent with its local environment (no
sandbox, one folder for all, no verification); the floor is the same commands in the same number of raw sandboxes.
ENGINE=docker: beside mini-swe-agent and Harbor, both in containers, four at a time; the floor is the SDK, with as
many containers and an exec for each command.
"""

import asyncio
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg

from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.spec import SandboxSpec
from synthbench.tasks.library import load_library_task

from . import peers
from .report import QUICK, Report
from .sdk import Sdk
from .stack import TASK, Stack, commands, memory_mb, running, turns, upstream

ENGINE = os.environ.get("ENGINE", "bubblewrap")
FULL = os.environ.get("FULL") == "1"
IN_DOCKER = ENGINE == "docker"
LONG = {1: [10, 100], 4: [10, 100, 1000], 8: [10, 100]}
ALONE = {1: [3]} if QUICK else LONG if FULL else {1: [10, 30], 4: [10, 100], 8: [100]}
COUNTS = ALONE if not IN_DOCKER else {4: [8]} if QUICK else {4: [100]}
WORKERS = 4
PEER_RUNS = 60
HARBOR_RUNS = {True: 8, False: 16}
"""With its ten seconds of grace for each container, and without."""
FLOOR_RUNS = 3 if QUICK else 40
STEPS = 6


def main() -> None:
    report = Report("pipeline" if ENGINE == "bubblewrap" else f"pipeline-{ENGINE}")
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        if not IN_DOCKER:
            asyncio.run(floor(report, folder / "floor"))
        with upstream(folder, "ours", turns()) as url:
            for permits in COUNTS:
                ours(report, folder / f"data-{permits}", url, permits)
        if IN_DOCKER:
            raw_floor(report)
        if not QUICK:  # installing the peers takes longer than everything else
            in_containers(report, folder) if IN_DOCKER else local(report, folder)
    if not IN_DOCKER:
        report.target("trajectories_per_second", best(report), ">= 3")
    report.finish(["synth-bench-executor"])


def best(report: Report) -> float:
    return max(value for case, value in report.facts.items() if case.startswith("rate, "))


async def floor(report: Report, root: Path) -> None:
    """One trajectory's sandboxes and commands, and nothing else: one of the agent, two for each verification."""
    engine = load_engine(ENGINE, root=root)
    await engine.probe()
    archive = load_library_task(TASK).workspace_archive()
    for _ in range(FLOOR_RUNS):
        began = time.perf_counter()
        boxes = [await engine.create(SandboxSpec(owner="bench")) for _ in range(5)]
        for box in boxes:
            await box.upload(archive)
        made = time.perf_counter()
        for command in commands():
            await boxes[0].run(["bash", "-c", command], timeout=30)
        report.add("floor: a step's command, raw", (time.perf_counter() - made) * 1000 / (STEPS - 1))
        for box in boxes[1:]:
            await box.run(["python3", "-c", "import unittest"], timeout=30)
            await box.close()
        await boxes[0].close()
        report.add("floor: a trajectory's sandboxes, raw", (time.perf_counter() - began) * 1000)
    await engine.aclose()


def raw_floor(report: Report) -> None:
    """As many containers as a trajectory of ours took, four at a time, with and without the commands."""
    taken = report.facts["containers a trajectory, ours"]
    clients = [Sdk() for _ in range(WORKERS)]
    for with_commands in (True, False):
        began, busy = time.perf_counter(), busy_seconds()
        with ThreadPoolExecutor(WORKERS) as pool:
            runs = [
                pool.submit(clients[number % WORKERS].trajectory, commands(), round(taken) - 1, commands=with_commands)
                for number in range(FLOOR_RUNS)
            ]
            for run in runs:
                run.result()
        each = (time.perf_counter() - began) / FLOOR_RUNS
        case = "with its commands" if with_commands else "without any command"
        report.facts[f"floor: seconds a trajectory's containers, SDK, {case}"] = round(each, 3)
        spent = (busy_seconds() - busy) * 1000 / FLOOR_RUNS
        report.facts[f"floor: CPU ms a trajectory's containers, SDK, {case}, whole machine"] = round(spent)
        if with_commands:
            report.target("over_raw_floor", 1 / best(report) / each, "<= 1.15")
    for client in clients:
        client.close()


def ours(report: Report, folder: Path, url: str, permits: int) -> None:
    with running(folder, ENGINE, permits, url) as stack:
        stack.make(2)  # warm
        for count in COUNTS[permits]:
            cpu, busy, began = sum(stack.each(cpu_seconds).values()), busy_seconds(), time.perf_counter()
            taken = containers_taken(stack)
            stack.make(count)
            seconds = time.perf_counter() - began
            used = sum(stack.each(cpu_seconds).values()) - cpu
            case = f"{permits} at a time, {count} attempts"
            report.facts[f"rate, {case}, trajectories/s"] = round(count / seconds, 2)
            report.facts[f"CPU ms a trajectory, {case}, whole machine"] = round((busy_seconds() - busy) * 1000 / count)
            report.facts[f"CPU ms a trajectory, {case}, services"] = round(used * 1000 / count)
            report.facts[f"memory MB of all processes, {case}"] = round(sum(stack.each(memory_mb).values()))
            if IN_DOCKER:
                report.facts["containers a trajectory, ours"] = (containers_taken(stack) - taken) / count
        if permits == 1:
            over_floor(report, stack.connection)
        stack.all_good()


_TIMES = """
    select extract(epoch from max((body::json->>'finished_at')::timestamptz) - min((body::json->>'started_at')::timestamptz))
    from catalogue.steps group by rollout_id, attempt
"""  # noqa: E501 - one expression


def over_floor(report: Report, connection: psycopg.Connection) -> None:
    """What a step and a trajectory cost beside their raw commands and sandboxes, one at a time."""
    for (seconds,) in connection.execute(_TIMES).fetchall():
        report.add("ours: a step, one at a time", float(seconds) * 1000 / STEPS)
    rate = max(value for case, value in report.facts.items() if case.startswith("rate, 1 at a time"))
    step, floor = report.p50("ours: a step, one at a time"), report.p50("floor: a step's command, raw")
    report.facts["cost of a step over its raw command, ms"] = round(step - floor, 1)
    floor = report.p50("floor: a trajectory's sandboxes, raw")
    report.facts["cost of a trajectory over its raw sandboxes, ms"] = round(1000 / rate - floor, 1)


def containers_taken(stack: Stack) -> float:
    """As the executor counts them."""
    text = httpx.get(f"{stack.status['urls']['executor']}/metrics", timeout=10, trust_env=False).text
    lines = [
        line
        for line in text.splitlines()
        if line.startswith('synthbench_sandbox_create_seconds_count{engine="docker"}')
    ]
    return float(lines[0].split()[-1]) if lines else 0.0


def busy_seconds() -> float:
    """Of all processors, whoever used them."""
    user, nice, system, _, _, irq, soft, *_ = (int(word) for word in Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(process: Path) -> float:
    """Of one that lives, and of its children that ended (sandboxes, Postgres' backends)."""
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[place]) for place in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")


def local(report: Report, folder: Path) -> None:
    """mini-swe-agent without containers; the model's turns end with its word for the end."""
    workspace = folder / "workspace"
    workspace.mkdir()
    subprocess.run(["tar", "x"], input=load_library_task(TASK).workspace_archive(), cwd=workspace, check=True)
    try:
        with upstream(folder, "mini", mini_turns()) as url:
            mini = peers.Mini(folder / "mini", url, environment="local", cwd=str(workspace))
            for workers in (1, WORKERS):
                mini.run(workers, PEER_RUNS).tell(report)
    except peers.Absent as error:
        report.facts["mini-swe-agent was not measured"] = str(error)


def in_containers(report: Report, folder: Path) -> None:
    """Both peers, as many at a time as ours."""
    report.facts["each trajectory of ours is"] = "stored, verified twice in fresh sandboxes, scored, deduplicated"
    report.facts["each of mini-swe-agent is"] = "kept as a file with its patch; nothing is verified"
    report.facts["each of harbor is"] = "verified once, in the container of the agent"
    try:
        peers.image(TASK, folder / "image")
        with upstream(folder, "mini", mini_turns()) as url:
            batch = peers.Mini(folder / "mini", url, environment="docker", cwd="/testbed").run(WORKERS, PEER_RUNS)
            rate = batch.tell(report)
            report.target("over_mini_swe_agent", best(report) / rate, ">= 1.5")
            alone = 1 / report.facts["floor: seconds a trajectory's containers, SDK, without any command"]
            report.facts["over mini-swe-agent, were ours nothing but its empty containers"] = round(alone / rate, 2)
            report.facts["over mini-swe-agent, its start-up left out"] = round(
                best(report) / batch.without_start_up(), 2
            )
        with upstream(folder, "harbor", peers.harbor_turns(commands())) as url:
            harbor = peers.Harbor(folder / "harbor")
            rates = {
                grace: harbor.run(url, WORKERS, HARBOR_RUNS[grace], grace=grace).tell(report) for grace in (True, False)
            }
            report.target("over_harbor", best(report) / rates[True], ">= 8")
            report.facts["over harbor, its grace left out"] = round(best(report) / rates[False], 1)
    except peers.Absent as error:
        report.facts["a peer was not measured"] = str(error)


def mini_turns() -> list:
    done = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
    return [[["bash", {"command": one}]] for one in [*commands(), done]]
