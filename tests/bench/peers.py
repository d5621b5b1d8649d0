"""Peers that work in containers, each installed into an environment of its own: mini-swe-agent and Harbor.

Both get an image with the task's workspace in /testbed, the same commands from the same model of zero latency, and as
many at a time as ours. mini-swe-agent keeps the answers and a patch, and verifies nothing; Harbor runs one test script
in the container of the agent.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthbench.tasks.library import load_library_task

from .report import Report

IMAGE = "synthbench-bench-peers"
MINI = "mini-swe-agent==2.4.6"
# A plain install fails once tools are passed: this litellm is the newest that works with it.
MINI_PINS = [MINI, "litellm==1.105.3", "datasets"]
HARBOR = "harbor==0.25.0"
_DOCKERFILE = """\
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends git tmux asciinema && rm -rf /var/lib/apt/lists/*
COPY workspace /testbed
RUN cd /testbed && git init -q && git add -A && git -c user.name=b -c user.email=b@b.invalid commit -qm base
WORKDIR /testbed
"""
_NO_GRACE = "services:\n  main:\n    init: true\n    stop_grace_period: 0s\n"
"""Else each of its containers is waited for 10 s at its end: the main process ignores SIGTERM."""
_TASK = f"""\
schema_version = "1.4"
[task]
name = "bench/task"
version = "1.0.0"
[verifier]
timeout_sec = 600.0
[agent]
timeout_sec = 600.0
[environment]
docker_image = "{IMAGE}"
network_mode = "public"
"""
_TEST = """\
#!/bin/bash
cd /testbed
mkdir -p /logs/verifier
if python3 -m unittest -q; then echo 1 > /logs/verifier/reward.txt; else echo 0 > /logs/verifier/reward.txt; fi
"""


class Absent(Exception):
    """A peer that cannot run here, and why."""


@dataclass
class Batch:
    """What a run of a peer came to."""

    case: str
    count: int
    seconds: float
    start_up: float = 0.0
    cpu_ms: float = 0.0
    """A trajectory, of its own processes."""

    def tell(self, report: Report) -> float:
        """Put it into the report; return trajectories/s over the whole batch."""
        rate = round(self.count / self.seconds, 3)
        report.facts[f"trajectories/s, {self.case}, {self.count}, with its start-up"] = rate
        if self.start_up:
            report.facts[f"trajectories/s, {self.case}, {self.count}, without"] = self.without_start_up()
        report.facts[f"CPU ms a trajectory, {self.case}, its own processes"] = round(self.cpu_ms, 1)
        return rate

    def without_start_up(self) -> float:
        return round(self.count / (self.seconds - self.start_up), 3)


def image(task: str, folder: Path) -> None:
    """Build the image of both."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True)
    subprocess.run(["tar", "x"], input=load_library_task(task).workspace_archive(), cwd=workspace, check=True)
    (folder / "Dockerfile").write_text(_DOCKERFILE)
    _run(["docker", "build", "-q", "-t", IMAGE, str(folder)], "the image of the peers cannot be built", 300)


def _run(command: Sequence[str | Path], what: str, seconds: float, **options) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Absent(f"{what}: {error}") from error
    if done.returncode != 0:
        raise Absent(f"{what}: {(done.stdout + done.stderr)[-500:]}")
    return done


def install(place: Path, python: str, *packages: str, override: str = "") -> Path:
    """Install into an environment of its own; return its folder of programs.

    Raises:
        Absent: it cannot be installed here.
    """
    uv = Path(sys.executable).with_name("uv")
    env = {"UV_SYSTEM_CERTS": "true", **os.environ}
    _run([uv, "venv", "-q", "--python", python, place], f"no environment for {packages[0]}", 120, env=env)
    command: list[str | Path] = [uv, "pip", "install", "-q", "--python", place / "bin/python", *packages]
    if override:
        (place / "override.txt").write_text(f"{override}\n")
        command += ["--override", place / "override.txt"]
    _run(command, f"{packages[0]} could not be installed here", 400, env=env)
    return place / "bin"


class Mini:
    """mini-swe-agent's batch mode; its log tells when the first instance began.

    Raises:
        Absent: not to be had here.
    """

    def __init__(self, place: Path, url: str, *, environment: str, cwd: str) -> None:
        self._place = place
        self._environment = environment
        self._programs = install(place, sys.executable, *MINI_PINS)
        (place / "instances").mkdir()
        (place / "bench.yaml").write_text(
            "model:\n  model_name: openai/bench\n  cost_tracking: ignore_errors\n"
            f"  model_kwargs: {{api_base: '{url}', drop_params: true}}\n"
            f"environment:\n  cwd: {cwd}\n  env: {{BASH_ENV: ''}}\n"
        )

    def run(self, workers: int, count: int) -> Batch:
        """All in one process; each must have come to its end."""
        instance = {"problem_statement": "Mend it.", "docker_image": IMAGE}
        lines = [json.dumps({"instance_id": f"one-{n}", **instance}) for n in range(count)]
        (self._place / "instances/test.jsonl").write_text("\n".join(lines) + "\n")
        output = self._place / f"out-{workers}"
        command = [
            self._programs / "mini-extra", "swebench", "--subset", self._place / "instances", "--split", "test",
            "-w", str(workers), "-c", "swebench.yaml", "-c", self._place / "bench.yaml",
            "--environment-class", self._environment, "-o", output,
        ]  # fmt: skip
        began, cpu = time.time(), children_seconds()
        done = _run(command, "mini-swe-agent", 600, env=environment_of(self._place))
        ended = time.time()
        check_submitted(output, count, done.stdout[-800:] + done.stderr[-800:])
        case = f"mini-swe-agent, {self._environment}, {workers} at a time"
        cpu = (children_seconds() - cpu) * 1000 / count
        return Batch(case, count, ended - began, first_words(output) - began, cpu)


def environment_of(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "MSWEA_CONFIGURED": "true", "OPENAI_API_KEY": "x",
        "MSWEA_COST_TRACKING": "ignore_errors", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip


def check_submitted(output: Path, count: int, said: str) -> None:
    """All of them ran to their end: a failure exits with 0, too."""
    finished = [json.loads(path.read_text())["info"] for path in output.glob("*/*.traj.json")]
    assert [info["exit_status"] for info in finished] == ["Submitted"] * count, said


def first_words(output: Path) -> float:
    """When the batch began its first instance, by the clock of its log."""
    for line in (output / "minisweagent.log").read_text().splitlines():
        if "Running on" in line:
            return time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
    raise AssertionError("the log says no start")


def children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def harbor_turns(commands: Sequence[str]) -> list[str]:
    """The same commands in the words of its agent terminus-2, which asks whether it is really done."""
    working = [
        {
            "analysis": "a",
            "plan": "p",
            "commands": [{"keystrokes": f"{one}\n", "duration": 0.1}],
            "task_complete": False,
        }
        for one in commands
    ]
    done = {"analysis": "a", "plan": "p", "commands": [], "task_complete": True}
    return [json.dumps(turn) for turn in (*working, done, done)]


class Harbor:
    """Installed once, run as often as wanted.

    Raises:
        Absent: not to be had here.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._programs = install(place, python_3_12(), HARBOR, override="certifi")
        _run(["docker", "compose", "version"], "Harbor needs Compose v2", 20)
        task = place / "task"
        (task / "tests").mkdir(parents=True)
        (task / "task.toml").write_text(_TASK)
        (task / "instruction.md").write_text("Mend it.\n")
        (task / "tests/test.sh").write_text(_TEST)
        (place / "nograce.yaml").write_text(_NO_GRACE)

    def run(self, url: str, workers: int, count: int, *, grace: bool) -> Batch:
        """Some trials; each must have earned its reward."""
        name = "plain" if grace else "no-grace"
        command = [
            self._programs / "harbor", "run", "-p", self._place / "task", "-a", "terminus-2", "-m", "openai/bench",
            "--ak", f"api_base={url}", "-n", str(workers), "-k", str(count), "-o", self._place / "jobs",
            "--job-name", name, "-y", "-q",
        ]  # fmt: skip
        if not grace:
            command += ["--extra-docker-compose", self._place / "nograce.yaml"]
        plugins = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
        env = {**environment_of(self._place), "DOCKER_CONFIG": plugins}
        began, cpu = time.time(), children_seconds()
        done = _run(command, "harbor", 300, env=env)
        seconds, cpu = time.time() - began, (children_seconds() - cpu) * 1000 / count
        rewards = [path.read_text().strip() for path in (self._place / "jobs" / name).rglob("reward.txt")]
        assert rewards == ["1"] * count, f"{rewards} {done.stdout[-1500:]} {done.stderr[-1500:]}"
        return Batch(f"harbor, {name}, {workers} at a time", count, seconds, cpu_ms=cpu)


def python_3_12() -> str:
    """An interpreter of Python 3.12 or newer that is on this machine; none is downloaded.

    Raises:
        Absent: there is none.
    """
    uv = Path(sys.executable).with_name("uv")
    for version in ("3.12", "3.13"):
        try:
            command = ["env", "UV_PYTHON_DOWNLOADS=never", uv, "python", "find", "--no-project", version]
            return _run(command, "", 20).stdout.strip()
        except Absent:
            versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
            for found in sorted(versions.glob(f"{version}*/bin/python")):
                return str(found)
    raise Absent("Harbor needs Python 3.12, and there is none on this machine")
