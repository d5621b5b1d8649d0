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


def start(bare, model: str) -> subprocess.Popen[str]:
    words = ["generate-trajectory", "--task", "simple-task-001", "--model", model, "--json"]
    return subprocess.Popen(
        [*bare.command, *words], env=bare.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_two_commands_from_nothing_to_verified_trajectories_by_one_stack(bare):
    process, second = start(bare, "sim/expert"), start(bare, "sim/quitter")
    seen: dict[str, set[int]] = {}
    while process.poll() is None or second.poll() is None:
        try:
            status = bare.status()
            for name, pid in {**status["processes"], "supervisor": status["supervisor"]}.items():
                seen.setdefault(name, set()).add(pid)
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.05)
    for ended, outcome in ((process, "solved"), (second, "gave_up")):
        out, err = ended.communicate()
        assert ended.returncode == 0, err + bare.last_words()
        row = json.loads(out)[0]
        assert row["outcome"] == outcome
        if outcome == "solved":
            verified(row)

    # Seven processes of ours and the two servers, each its own and there once; the commands are others.
    assert seen.keys() == SERVICES | {"supervisor", "nats", "postgres"}
    assert {len(pids) for pids in seen.values()} == {1}
    pids = set[int]().union(*seen.values())
    assert len(pids | {process.pid, second.pid}) == 11

    # The journal has done its work; nothing of a sandbox is left.
    assert [path for path in (bare.folder / "artifacts" / "key" / "journal").rglob("*") if path.is_file()] == []
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(map(running, pids)):
        time.sleep(0.1)
    assert [pid for pid in pids if running(pid)] == []
    assert [p for p in (bare.folder / "sandboxes").glob("*/*") if not p.name.startswith(".engine")] == []


def verified(row: dict) -> None:
    """A solution that was verified twice, step by step."""
    assert (row["reward"], row["verdict"], row["curation"]) == (1.0, "accept", "admitted")
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
