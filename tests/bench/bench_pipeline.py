"""Six-step trajectories through the whole product (stored, verified twice, scored, deduplicated), and a peer.

Both ask the same model of zero latency. mini-swe-agent runs in its batch mode, all tasks in one process, with its local
environment (no sandbox, one folder for all, no verification), start-up left out as far as its own record allows; ours
runs each in bubblewrap (ENGINE=docker: in Docker) and verifies it in four fresh sandboxes. The floor is the same
commands in the same number of raw sandboxes.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import nats
import psycopg

from synthbench.cli.embedded.children import free_port
from synthbench.cli.endpoints import Endpoints
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.protocol import SandboxSpec
from synthbench.tasks.library import load_library_task

from .report import QUICK, Report

TASK = "simple-task-001"
ENGINE = os.environ.get("ENGINE", "bubblewrap")
FULL = os.environ.get("FULL") == "1"
LONG = {1: [10, 100], 4: [10, 100, 1000], 8: [10, 100]}
COUNTS = {1: [4], 4: [8]} if QUICK else LONG if FULL else {1: [10, 30], 4: [10, 100], 8: [100]}
PEER_RUNS = 60
FLOOR_RUNS = 3 if QUICK else 40
PEER = "mini-swe-agent==2.4.6"
# A plain install fails once tools are passed: this litellm is the newest that works with it.
PEER_PINS = [PEER, "litellm==1.105.3", "datasets"]
STEPS = 6


def commands() -> list[str]:
    """Five commands that solve the task, as a model would write them; the sixth step submits."""
    files = load_library_task(TASK).solution_changes()
    writes = " && ".join(
        f"echo {base64.b64encode(data).decode()} | base64 -d > {path}"
        for path, data in files.items()
        if data is not None
    )
    return ["ls -R", "cat billing/*.py", writes, "python3 -m unittest -q 2>&1 | tail -3", "git status 2>&1 | head -3"]


def main() -> None:
    report = Report("pipeline" if ENGINE == "bubblewrap" else f"pipeline-{ENGINE}")
    with tempfile.TemporaryDirectory(prefix="synthbench-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o711)
        asyncio.run(floor(report, folder / "floor"))
        with upstream(folder, "ours", [[["bash", {"command": one}]] for one in commands()] + [[["submit", {}]]]) as url:
            for permits in COUNTS:
                ours(report, folder / f"data-{permits}", url, permits)
        done = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
        if not QUICK:  # installing the peer takes longer than everything else
            with upstream(folder, "peer", [[["bash", {"command": one}]] for one in [*commands(), done]]) as url:
                peer(report, folder, url)
    best = max(value for case, value in report.facts.items() if case.startswith(("rate, 4", "rate, 8")))
    report.target("trajectories_per_second", best, ">= 3")
    report.finish(["synth-bench-executor"])


@contextmanager
def upstream(folder: Path, name: str, script: list) -> Generator[str]:
    path = folder / f"{name}.json"
    path.write_text(json.dumps(script))
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("upstream.py")), str(port), str(path)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


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


def ours(report: Report, folder: Path, url: str, permits: int) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
    env |= {
        "SYNTHBENCH_DATA_DIR": str(folder), "SYNTHBENCH_ENGINES": ENGINE,
        "SYNTHBENCH_PERMITS": str(permits), "SYNTHBENCH_READY_LIMIT": "16",
        "SYNTHBENCH_UPSTREAM_BASE_URL": url, "SYNTHBENCH_UPSTREAM_API_KEY": "none",
    }  # fmt: skip
    command = [sys.executable, "-m", "synthbench.cli"]
    subprocess.run([*command, "up"], env=env, check=True, timeout=120, stderr=subprocess.DEVNULL)
    try:
        status = json.loads((folder / "run/status.json").read_text())
        password = (folder / "secrets/postgres").read_text()
        dsn = f"postgresql://synthbench:{password}@127.0.0.1:{status['postgres_port']}/postgres"
        endpoints = Endpoints.load(folder / "run/stack.json")
        assert endpoints is not None
        with psycopg.connect(dsn, autocommit=True) as connection:
            asyncio.run(submit(endpoints, 2))  # warm
            wait(connection, 2)
            total = 2
            for count in COUNTS[permits]:
                cpu, busy, began = cpu_seconds(status), busy_seconds(), time.perf_counter()
                asyncio.run(submit(endpoints, count))
                total += count
                wait(connection, total)
                seconds = time.perf_counter() - began
                case = f"{permits} at a time, {count} attempts"
                report.facts[f"rate, {case}, trajectories/s"] = round(count / seconds, 2)
                report.facts[f"CPU ms a trajectory, {case}, whole machine"] = round(
                    (busy_seconds() - busy) * 1000 / count
                )
                report.facts[f"CPU ms a trajectory, {case}, services"] = round(
                    (cpu_seconds(status) - cpu) * 1000 / count
                )
                report.facts[f"memory MB of all processes, {case}"] = memory_mb(status)
            if permits == 1:
                over_floor(report, connection)
            row = connection.execute(
                "select count(*) filter (where outcome = 'solved' and verdict = 'accept' and curation is not null) "
                "from catalogue.trajectories"
            ).fetchone()
            assert row is not None
            assert row[0] == total, f"{row[0]} of {total} were solved, verified twice, scored and curated"
    finally:
        subprocess.run([*command, "down", "--now"], env=env, check=False, timeout=120, stderr=subprocess.DEVNULL)


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


async def submit(endpoints: Endpoints, count: int) -> None:
    client = await nats.connect(
        endpoints.nats_url, user=endpoints.nats_user, password=endpoints.nats_password.get_secret_value(),
        inbox_prefix=b"_INBOX.client",
    )  # fmt: skip
    for start in range(0, count, 100):
        body = {"task": TASK, "route": "bench-model", "samples": min(100, count - start), "seed": start,
                "allow_unknown_price": True}  # fmt: skip
        await client.jetstream().publish("task.submitted", json.dumps(body).encode())
    await client.close()


def wait(connection: psycopg.Connection, total: int) -> None:
    deadline = time.monotonic() + 1200
    while True:
        row = connection.execute("select count(*) from scheduler.rollouts where state = 'curated'").fetchone()
        if row and row[0] >= total:
            return
        assert time.monotonic() < deadline, f"{row} of {total} curated"
        time.sleep(0.05)


def _each(status: dict, read: Callable[[Path], float]) -> float:
    total = 0.0
    for pid in status["processes"].values():
        try:
            total += read(Path(f"/proc/{pid}"))
        except OSError:
            continue
    return total


def busy_seconds() -> float:
    """Of all processors, whoever used them."""
    user, nice, system, _, _, irq, soft, *_ = (int(word) for word in Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(status: dict) -> float:
    """Of the processes that live, and of their children that ended (sandboxes, Postgres' backends)."""

    def read(process: Path) -> float:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
        return sum(int(fields[place]) for place in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")

    return _each(status, read)


def memory_mb(status: dict) -> int:
    def read(process: Path) -> float:
        lines = (process / "status").read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    return round(_each(status, read))


def peer(report: Report, folder: Path, url: str) -> None:
    """Its batch mode, with one and four workers; the model's turns end with its word for the end."""
    place = folder / "peer"
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True, timeout=120)
    install = [uv, "pip", "install", "-q", "--python", place / "bin/python", *PEER_PINS]
    made = subprocess.run(install, env={"UV_SYSTEM_CERTS": "true", **os.environ}, check=False, timeout=400)
    if made.returncode != 0:
        report.facts["mini-swe-agent"] = "could not be installed here"
        return
    workspace, instances = place / "workspace", place / "instances"
    workspace.mkdir()
    instances.mkdir()
    subprocess.run(["tar", "x"], input=load_library_task(TASK).workspace_archive(), cwd=workspace, check=True)
    lines = [json.dumps({"instance_id": f"one-{n}", "problem_statement": "Mend it."}) for n in range(PEER_RUNS)]
    (instances / "test.jsonl").write_text("\n".join(lines) + "\n")
    config = place / "bench.yaml"
    config.write_text(
        f"model:\n  model_name: openai/bench\n  cost_tracking: ignore_errors\n"
        f"  model_kwargs: {{api_base: '{url}', drop_params: true}}\n"
        f"environment:\n  cwd: {workspace}\n  env: {{BASH_ENV: ''}}\n"
    )
    env = {
        "PATH": os.environ["PATH"], "HOME": str(place), "MSWEA_CONFIGURED": "true", "OPENAI_API_KEY": "x",
        "MSWEA_COST_TRACKING": "ignore_errors", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    for workers in (1, 4):
        output = place / f"out-{workers}"
        command = [place / "bin/mini-extra", "swebench", "--subset", instances, "--split", "test", "-w", str(workers),
                   "-c", "swebench.yaml", "-c", config, "--environment-class", "local", "-o", output]  # fmt: skip
        began, cpu = time.time(), children_seconds()
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600, check=False)
        ended = time.time()
        said = done.stdout[-800:] + done.stderr[-800:]
        finished = [json.loads(path.read_text())["info"] for path in output.glob("*/*.traj.json")]
        assert [info["exit_status"] for info in finished] == ["Submitted"] * PEER_RUNS, said
        case = f"mini-swe-agent, local, {workers} at a time"
        report.facts[f"trajectories/s, {case}, with its start-up"] = round(PEER_RUNS / (ended - began), 2)
        report.facts[f"CPU ms a trajectory, {case}"] = round((children_seconds() - cpu) * 1000 / PEER_RUNS, 1)
        report.facts[f"trajectories/s, {case}"] = round(PEER_RUNS / (ended - first_words(output)), 2)


def first_words(output: Path) -> float:
    """When the batch began its first instance, by the clock of its log."""
    for line in (output / "minisweagent.log").read_text().splitlines():
        if "Running on" in line:
            return time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
    raise AssertionError("the log says no start")


def children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system
