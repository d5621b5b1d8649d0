"""`generate-trajectory` on a bare data folder: everything is started for it, and nothing is left behind."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from synthbench.contracts.steps import step_digest
from synthbench.storage.trajectories import decode

pytestmark = pytest.mark.alone

SERVICES = {"scheduler", "executor", "llm_gateway", "collector", "quality", "diversity"}


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()


@pytest.fixture
def bare(data_folders: Path, make_stack):
    return make_stack(data_folders / f"cold-{time.time_ns()}")


def test_one_command_from_nothing_to_a_verified_trajectory(bare):
    process = subprocess.Popen(
        [*bare.command, "generate-trajectory", "--task", "simple-task-001", "--json"],
        env=bare.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen: dict[str, int] = {}
    while process.poll() is None:
        try:
            status = bare.status()
            seen |= {**status["processes"], "supervisor": status["supervisor"]}
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.02)
    out, err = process.communicate()
    assert process.returncode == 0, err + bare.last_words()

    # Seven processes of ours and the two servers, each its own; the command itself is another one.
    assert set(seen) == SERVICES | {"supervisor", "nats", "postgres"}
    assert len({*seen.values(), process.pid}) == 10

    row = json.loads(out)[0]
    assert (row["outcome"], row["reward"], row["verdict"], row["curation"]) == ("solved", 1.0, "accept", "admitted")
    trajectory = decode(Path(row["location"]).read_bytes())
    assert trajectory.rollout.simulated
    assert len(trajectory.steps) == row["steps"] >= 5
    assert len({call.name for step in trajectory.steps for call in step.action.tool_calls}) >= 3
    assert [step.index for step in trajectory.steps] == list(range(len(trajectory.steps)))
    assert all(step.digest == step_digest(step) for step in trajectory.steps)
    assert "diff --git" in trajectory.patch
    assert trajectory.verification is not None
    assert all(test.status == "passed" for test in trajectory.verification.tests)
    assert trajectory.usage.calls == len(trajectory.steps)
    # The journal has done its work; nothing of a sandbox is left.
    assert [path for path in (bare.folder / "artifacts" / "key" / "journal").rglob("*") if path.is_file()] == []

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(map(running, seen.values())):
        time.sleep(0.1)
    assert [name for name, pid in seen.items() if running(pid)] == []
    assert [p for p in (bare.folder / "sandboxes").glob("*/*") if not p.name.startswith(".engine")] == []


def test_two_commands_at_once_share_one_stack(bare):
    commands = [
        subprocess.Popen(
            [*bare.command, "generate-trajectory", "--task", "simple-task-001", "--model", model, "--json"],
            env=bare.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for model in ("sim/expert", "sim/quitter")
    ]  # fmt: skip
    outcomes = []
    for process in commands:
        out, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
        outcomes.append(json.loads(out)[0]["outcome"])
    assert outcomes == ["solved", "gave_up"]


def test_a_folder_that_cannot_be_written_is_one_line(bare):
    bare.env["SYNTHBENCH_DATA_DIR"] = "/proc/nowhere"
    done = bare.run("generate-trajectory", "--task", "simple-task-001", check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "SYNTHBENCH_DATA_DIR" in done.stderr


def test_after_a_supervisor_was_killed_the_next_start_is_a_new_stack(bare):
    bare.run("up")
    old = bare.status()
    os.kill(old["supervisor"], 9)
    # Its process id may belong to somebody else by now, and the files that it left say nothing.
    status = bare.folder / "run" / "status.json"
    status.write_text(json.dumps({**old, "supervisor": os.getpid()}))
    assert bare.run("status", check=False).returncode == 1
    bare.run("up")
    new = bare.status()
    assert new["supervisor"] not in (old["supervisor"], os.getpid())
    (row,) = bare.json("generate-trajectory", "--task", "simple-task-001")
    assert row["outcome"] == "solved"
    bare.down()
    assert [name for name, pid in {**old["processes"], **new["processes"]}.items() if running(pid)] == []
