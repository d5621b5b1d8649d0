"""What a person at a terminal does to a command: closes it, interrupts it, pipes it into `head`."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(300)]
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
    return [line.split() for line in stack.ask("status").stdout.splitlines() if f" {name} " in line]


def start(stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*stack.command, *arguments], env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_head_reads_two_steps_and_the_trajectory_is_stored(stack):
    before = {one["trajectory_id"] for one in stack.json("trajectories", "list", "campaign:default", "--limit", "100")}
    with start(stack, "generate-trajectory", "--task", "simple-task-001") as generate:
        assert generate.stdout is not None
        assert generate.stderr is not None
        assert "simple-task-001" in generate.stdout.readline()
        generate.stdout.close()
        assert generate.wait(60) == 141
        assert generate.stderr.read() == ""
    listed = stack.json("trajectories", "list", "campaign:default", "--limit", "100")
    (stored,) = [one for one in listed if one["trajectory_id"] not in before]
    assert stored["outcome"] == "solved"
    assert stored["curation"] in ("admitted", "duplicate")


FORKED = """
import json, os, sys
from synthbench.cli.__main__ import main
for number, arguments in enumerate(json.loads(sys.argv[1])):
    if os.fork() == 0:
        os.dup2(os.open(f"{number}.stderr", os.O_CREAT | os.O_WRONLY), 2)
        main(arguments)
    print(os.waitstatus_to_exitcode(os.wait()[1]), file=sys.stderr)
"""
"""Each command in a process of its own, which ends as any does; the program is loaded once."""


def test_head_is_no_failure_of_any_list(stack, tmp_path: Path):
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", FORKED, json.dumps(LISTS)], env=stack.env, cwd=tmp_path, stdout=write,
            stderr=subprocess.PIPE, text=True, timeout=100, check=False,
        )  # fmt: skip
    finally:
        os.close(write)
    told = {" ".join(words): (tmp_path / f"{number}.stderr").read_text() for number, words in enumerate(LISTS)}
    codes = dict(zip(told, done.stderr.split(), strict=True))
    assert codes == dict.fromkeys(told, "141"), told
    for text in told.values():
        assert "Traceback" not in text
        assert "Broken" not in text


def test_off_a_terminal_a_campaign_prints_lines_and_totals(stack, tmp_path: Path):
    moments, lines = list[float](), list[str]()
    with start(stack, "run", campaign(tmp_path, "lines", 12)) as process:
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
        r"lines: \d+ of 12 finished, \d+ running, .*\$0\.0000, [\d.]+ a minute, about \d+ (?:s|min) left", told
    )
    assert "lines: 12 of 12 finished, 0 running, 12 solved" in told
    assert "synth-bench trajectories list 'campaign:lines'" in told
    assert rows == [
        ["model", "runs", "solved", "accept", "cost"],
        ["sim/expert", "12", "12", "12", "$0.0000"],
        ["task", "runs", "solved", "accept", "cost"],
        ["simple-task-001", "12", "12", "12", "$0.0000"],
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
    # What was solved by then is scored first, if need be by an event that comes again after more than a minute.
    until(lambda: submissions(stack, "stopped")[0][2] == "cancelled", 150)


def in_a_terminal(stack, *arguments: str) -> tuple[int, int]:
    """Start a command in a session and a terminal of its own; the process and the terminal's other end."""
    child, controller = pty.fork()
    if child == 0:
        os.execve(stack.command[0], [*stack.command, *arguments], stack.env)
    return child, controller


def test_a_terminal_that_closes_leaves_a_stack_that_others_use_at_once(data_folders: Path, make_stack, tmp_path: Path):
    lone = make_stack(data_folders / f"hangup-{time.time_ns()}")
    try:
        child, controller = in_a_terminal(lone, "run", campaign(tmp_path, "left", 60))
        until(lambda: (lone.folder / "run/stack.json").exists() and lone.json("trajectories", "list", "campaign:left"))
        os.close(controller)
        _, code = os.waitpid(child, 0)
        assert os.WTERMSIG(code) == signal.SIGHUP

        told = lone.ask("status")
        assert re.search(r"1 submissions are open, \d+ rollouts left: ", told.stderr), told.stderr
        assert " of 60" in told.stdout
        began = time.monotonic()
        lone.json("trajectories", "list")
        assert time.monotonic() - began < 30  # a stack of its own would have to wait for this one's end
        assert lone.status()["state"] == "up"
    finally:
        lone.down()
