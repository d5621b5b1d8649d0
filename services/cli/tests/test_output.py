"""Output whose reader is gone: `… | head` and terminals that were closed."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from synthbench.cli import output
from synthbench.client.waiting import Waiting

COMMANDS = [
    ["--help"],
    ["nonsense"],
    ["tasks", "list"],
    ["tasks", "show", "simple-task-001"],
    ["config", "show", "scheduler"],
    ["tokens", "list", "--json"],
    ["env", "--unset"],
    ["logs"],
]


def run_without_reader(arguments: list[str], folder: Path, *, errors: bool) -> subprocess.CompletedProcess[str]:
    """Run a command whose standard output, and if wanted standard error, is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        return subprocess.run(
            [sys.executable, "-m", "synthbench.cli", *arguments],
            env={**os.environ, "SYNTHBENCH_DATA_DIR": str(folder)}, text=True, timeout=60, check=False,
            stdout=write, stderr=write if errors else subprocess.PIPE,
        )  # fmt: skip
    finally:
        os.close(write)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_pipe_without_a_reader_ends_a_command_without_a_word(tmp_path: Path, command: list[str]):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/scheduler.log").write_text('{"event": "x"}\n' * 100)
    done = run_without_reader(command, tmp_path, errors=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    if command != ["nonsense"]:  # that says on standard error what is wrong
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", COMMANDS[:3], ids=" ".join)
def test_standard_error_without_a_reader_changes_no_more_than_the_exit_code(tmp_path: Path, command: list[str]):
    assert run_without_reader(command, tmp_path, errors=True).returncode in (1, 2, 141)


def test_a_closed_terminal_is_a_reader_that_is_gone(monkeypatch: pytest.MonkeyPatch):
    controller, terminal = pty.openpty()
    os.close(controller)
    stream = os.fdopen(terminal, "w")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(output.ReaderGone):
        output.write("x")
    with pytest.raises(output.ReaderGone):
        output.out.print("x")
    output.discard(stream)
    output.write("this goes nowhere")
    stream.close()


def test_another_failure_of_a_write_is_told(monkeypatch: pytest.MonkeyPatch):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left"):
            output.write("x" * 10)
        output.discard(full)


def test_a_wait_is_told_after_two_seconds_when_it_changes_and_every_ten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    now = 0.0
    monkeypatch.setattr("synthbench.client.waiting.time.monotonic", lambda: now)
    waiting = Waiting(output.say)
    for moment, what in ((1.0, "a"), (2.5, "a"), (4.0, "a"), (5.0, "b"), (14.0, "b"), (15.5, "b")):
        now = moment
        waiting(what)
    assert capsys.readouterr().err.splitlines() == [
        "waiting for a (2 s)", "waiting for b (5 s)", "waiting for b (16 s)",
    ]  # fmt: skip
