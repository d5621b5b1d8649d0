"""What a person at a terminal does to a command: closes it, interrupts it, pipes it into `head`."""

import os
import pty
import re
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)
CAMPAIGN = """
[campaign]
name = "{name}"
tasks = ["simple-task-001"]
models = ["sim/expert"]
samples = {samples}
"""
LISTS = [
    ["status"],
    ["trajectories", "list"],
    ["trajectories", "list", "--json"],
    ["stats"],
    ["stats", "--format", "csv"],
    ["stats", "--view", "days"],
    ["cost"],
    ["campaigns", "list"],
    ["tasks", "quarantined"],
    ["dead", "list"],
    ["audit"],
    ["storage"],
    ["env"],
    ["logs"],
]


def campaign(folder: Path, name: str, samples: int) -> str:
    file = folder / f"{name}.toml"
    file.write_text(CAMPAIGN.format(name=name, samples=samples))
    return str(file)


def until(condition, seconds: float = 60.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def submissions(stack, name: str) -> list[list[str]]:
    return [line.split() for line in stack.run("status").stdout.splitlines() if f" {name} " in line]


def start(stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*stack.command, *arguments], env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_head_reads_two_steps_and_the_trajectory_is_stored(stack):
    with start(stack, "generate-trajectory", "--task", "simple-task-001") as generate:
        assert generate.stdout is not None
        assert generate.stderr is not None
        assert "simple-task-001" in generate.stdout.readline()
        generate.stdout.close()
        assert generate.wait(60) == 141
        assert generate.stderr.read() == ""
    (stored,) = stack.json("trajectories", "list", "campaign:default")
    assert (stored["outcome"], stored["curation"]) == ("solved", "admitted")


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_head_is_no_failure_of_any_list(stack, command: list[str]):
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [*stack.command, *command], env=stack.env, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    finally:
        os.close(write)
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_off_a_terminal_a_campaign_prints_lines_and_totals(stack, tmp_path: Path):
    moments, lines = list[float](), list[str]()
    with start(stack, "run", campaign(tmp_path, "lines", 20)) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        for line in process.stderr:
            moments.append(time.monotonic())
            lines.append(line)
        assert process.wait(60) == 0
        rows = [line.split() for line in process.stdout.read().splitlines() if line.strip()]
    assert max(later - earlier for earlier, later in pairwise(moments)) <= 10
    told = "".join(lines)
    assert re.search(
        r"lines: \d+ of 20 finished, \d+ running, .*\$0\.0000, [\d.]+ a minute, about \d+ (?:s|min) left", told
    )
    assert "lines: 20 of 20 finished, 0 running, 20 solved" in told
    assert "synth-bench trajectories list 'campaign:lines'" in told
    assert rows == [
        ["model", "runs", "solved", "accept", "cost"],
        ["sim/expert", "20", "20", "20", "$0.0000"],
        ["task", "runs", "solved", "accept", "cost"],
        ["simple-task-001", "20", "20", "20", "$0.0000"],
    ]


def test_an_interrupt_says_what_is_finished_and_where_and_cancels_the_rest(stack, tmp_path: Path):
    with start(stack, "run", campaign(tmp_path, "stopped", 40)) as process:
        until(lambda: any(row for row in stack.json("trajectories", "list", "campaign:stopped") if row["curation"]))
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    words = r"interrupted: (\d+) of 40 rollouts are finished and stored in (\S+) .*; (\d+) are cancelled"
    found = re.search(words, told)
    assert found, told
    assert int(found[1]) >= 1
    assert found[2] == str(stack.folder / "artifacts")
    until(lambda: submissions(stack, "stopped")[0][2] == "cancelled")


def in_a_terminal(stack, *arguments: str) -> tuple[int, int]:
    """Start a command in a session and a terminal of its own; the process and the terminal's other end."""
    child, controller = pty.fork()
    if child == 0:
        os.execve(stack.command[0], [*stack.command, *arguments], stack.env)
    return child, controller


@pytest.mark.long
def test_a_terminal_that_closes_leaves_a_stack_that_others_use_at_once(data_folders: Path, make_stack, tmp_path: Path):
    lone = make_stack(data_folders / f"hangup-{time.time_ns()}")
    try:
        child, controller = in_a_terminal(lone, "run", campaign(tmp_path, "left", 60))
        until(lambda: (lone.folder / "run/stack.json").exists() and lone.json("trajectories", "list", "campaign:left"))
        os.close(controller)
        _, code = os.waitpid(child, 0)
        assert os.WTERMSIG(code) == signal.SIGHUP

        told = lone.run("status")
        assert re.search(r"1 submissions are open, \d+ rollouts left: ", told.stderr), told.stderr
        assert " of 60" in told.stdout
        began = time.monotonic()
        lone.json("trajectories", "list")
        assert time.monotonic() - began < 30  # a stack of its own would have to wait for this one's end
        assert lone.status()["state"] == "up"
    finally:
        lone.down()
