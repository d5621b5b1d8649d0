"""What users do with a running stack."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from in_process import run_command

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]


def test_a_script_with_nats_alone_publishes_and_follows(stack, tmp_path: Path):
    endpoints = stack.endpoints()
    env = {
        "PATH": os.environ["PATH"],
        "NATS_URL": endpoints.nats_url,
        "NATS_USER": endpoints.nats_user,
        "NATS_PASSWORD": endpoints.nats_password.get_secret_value(),
    }
    script = ROOT / "docs/examples/publish_task.py"
    assert "synthbench" not in script.read_text()
    done = subprocess.run(
        [sys.executable, script], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr + stack.last_words()
    *events, last = done.stdout.strip().splitlines()
    assert json.loads(last)["status"] in ("admitted", "duplicate")
    assert events[0].strip() == "task.accepted"
    assert sum(event.startswith("step.recorded") for event in events) >= 5
    assert events[-1].strip() == "trajectory.curated"


def test_bare_json_by_core_nats_with_a_typing_error_is_rejected_by_field(stack):
    endpoints = stack.endpoints()
    program = """
import asyncio, json, os, nats
async def main():
    nc = await nats.connect(os.environ["URL"], user="client", password=os.environ["PASSWORD"])
    heard = asyncio.Queue()
    async def on(message): await heard.put(json.loads(message.data))
    await nc.subscribe("task.rejected", cb=on)
    await nc.flush()
    await nc.publish("task.submitted", b'{"task": "simple-task-001", "sampels": 3}')
    print(json.dumps((await asyncio.wait_for(heard.get(), 20))["errors"]))
    await nc.publish("task.submitted", b'not json')
    print(json.dumps((await asyncio.wait_for(heard.get(), 20))["errors"]))
    await nc.close()
asyncio.run(main())
"""
    env = {
        "PATH": os.environ["PATH"],
        "URL": endpoints.nats_url,
        "PASSWORD": endpoints.nats_password.get_secret_value(),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + stack.last_words()
    first, second = done.stdout.strip().splitlines()
    assert json.loads(first)[0]["field"] == "sampels"
    assert "JSON" in json.loads(second)[0]["message"]
    letters = json.loads(stack.ask("dead", "list", "--json").stdout)
    assert len([letter for letter in letters if letter["subject"] == "task.submitted.client"]) >= 2
    # The stack goes on.
    assert stack.json("generate-trajectory", "--task", "simple-task-001", "--scaffold", "nop")[0]["reward"] == 0


def test_simulated_models_do_what_they_say(stack, tmp_path: Path):
    campaign = tmp_path / "campaign.toml"
    models = ["sim/expert", "sim/novice", "sim/looper", "sim/quitter", "sim/cheater"]
    campaign.write_text(f'[campaign]\nname = "sims"\ntasks = ["simple-task-001"]\nmodels = {json.dumps(models)}\n')
    rows = {row["model"]: row for row in stack.json("run", str(campaign))}
    assert {model: row["outcome"] for model, row in rows.items()} == {
        "sim/expert": "solved",
        "sim/novice": "solved",
        "sim/looper": "agent_error",
        "sim/quitter": "gave_up",
        "sim/cheater": "unsolved",
    }
    assert {row["reward"] for row in rows.values() if row["model"] in ("sim/looper", "sim/quitter", "sim/cheater")} == {
        0
    }
    assert rows["sim/novice"]["steps"] > rows["sim/expert"]["steps"]
    listed = stack.json("trajectories", "list", "campaign:sims")
    assert {entry["route"] for entry in listed} == set(models)
    assert all(entry["simulated"] for entry in listed)


def test_checking_a_task_of_ones_own(stack, tmp_path: Path):
    folder = tmp_path / "mine"
    stack.ask("tasks", "init", str(folder))
    done = stack.ask("tasks", "check", str(folder))
    assert "oracle" in done.stdout
    # Break the solution: the reward is 0, and the check says so.
    (folder / "solution/files/greeting.py").write_text("def greet(name):\n    return 'Hello'\n")
    broken = stack.ask("tasks", "check", str(folder), check=False)
    assert broken.returncode == 1
    assert "oracle earned 0" in broken.stderr


def test_export_gives_messages_that_hang_together(stack):
    made = stack.json("generate-trajectory", "--task", "simple-task-001", "--model", "sim/novice")[0]
    exported = json.loads(stack.ask("trajectories", "export", made["trajectory"], "--format", "messages").stdout)
    roles = [message["role"] for message in exported["messages"]]
    assert roles[:2] == ["system", "user"]
    asked = [call["id"] for message in exported["messages"] for call in message.get("tool_calls") or []]
    answered = [message["tool_call_id"] for message in exported["messages"] if message["role"] == "tool"]
    assert asked == answered
    assert len(asked) == made["steps"]
    assert {tool["function"]["name"] for tool in exported["tools"]} >= {"bash", "edit_file", "submit"}
    whole = json.loads(stack.ask("trajectories", "export", made["trajectory"]).stdout)
    assert whole["trajectory_id"] == made["trajectory"]
    assert "edit_file" in stack.ask("trajectories", "show", made["trajectory"]).stdout


def test_ctrl_c_cancels_the_submission(stack):
    process = subprocess.Popen(
        [*stack.command, "generate-trajectory", "--task", "simple-task-001", "--model", "sim/looper", "--samples=40"],
        env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # an attempt has begun
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.strip().endswith("cancelled")
    deadline = time.monotonic() + 60
    while " open " in (line := of_forty(stack)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert " cancelled " in line


def of_forty(stack) -> str:
    """Return what `status` says of the submission of forty samples."""
    listed = stack.ask("status").stdout.splitlines()
    (line,) = [line for line in listed if " of 40 " in f"{line} " and " default " in line]
    return line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["generate-trajectory", "--task", "simple-task-01"], "did you mean simple-task-001"),
        (["generate-trajectory", "--task", "./nowhere"], "there is no such folder"),
        (["generate-trajectory", "--task", "simple-task-001", "--model", "sim/nobody"], "sim/expert"),
        (["generate-trajectory", "--task", "simple-task-001", "--scaffold", "swe"], "scaffold"),
        (["generate-trajectory", "--task", "simple-task-001", "--sandbox", "docker"], "docker"),
        (["generate-trajectory", "--task", "simple-task-001", "--samples", "0"], "samples"),
        (["generate-trajectory", "--task", "simple-task-001", "--api-key-env", "NOT_SET"], "NOT_SET"),
        (["run", "nowhere.toml"], "nowhere.toml"),
        (["trajectories", "show", "00000000-0000-0000-0000-000000000000"], "no trajectory"),
        (["dead", "show", "999999"], "no dead letter"),
        (["logs", "nobody"], "there is no service"),
    ],
)
def test_bad_input_is_one_clear_line(stack, arguments, said):
    done = stack.ask(*arguments, check=False)
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert said in last
    assert "Traceback" not in done.stderr


def test_settings_say_where_they_come_from_and_keep_secrets(stack):
    plain = {name: value for name, value in stack.env.items() if not name.startswith("SYNTHBENCH_")}
    plain["SYNTHBENCH_DATA_DIR"] = stack.env["SYNTHBENCH_DATA_DIR"]
    wanted = ["config", "show", "scheduler"]
    assert "environment SYNTHBENCH" not in run_command(wanted, plain).stdout
    secret = {"SYNTHBENCH_LEASE_SECONDS": "45", "SYNTHBENCH_NATS_PASSWORD": "hunter2hunter2"}
    done = run_command(wanted, plain | secret)
    line = next(line for line in done.stdout.splitlines() if "lease_seconds" in line)
    assert "45" in line
    assert "environment SYNTHBENCH_LEASE_SECONDS" in line
    assert "hunter2" not in done.stdout


def test_doctor_tries_things_out(stack):
    done = stack.ask("doctor")
    assert "nats-server" in done.stdout
    assert "migrations apply" in done.stdout


def test_no_secret_is_in_a_log_or_an_artifact(stack):
    secrets = [path.read_text() for path in (stack.folder / "secrets").iterdir()]
    assert len(secrets) >= 10
    files = [*(stack.folder / "logs").iterdir(), *(path for path in stack.artifacts() if path.is_file())]
    assert files
    for path in files:
        content = path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in content], path
