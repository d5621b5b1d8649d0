"""What the command line decides without a stack."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from synthbench.cli import trajectory_view
from synthbench.cli.commands.generate import load_campaign, use_upstream
from synthbench.client.errors import CliError
from synthbench.client.progress import Progress
from synthbench.contracts.cloudevents import Envelope
from synthbench.contracts.events import AttemptStarted, StepRecorded, TaskAccepted, TaskRejected, TrajectoryCurated
from synthbench.contracts.model import Record
from synthbench.contracts.records import FieldError, Rollout, TaskInfo
from synthbench.contracts.steps import Action, ModelCall, Observation, State, Step, ToolCall
from synthbench.contracts.trajectory import AttemptContext, SandboxInfo, Trajectory
from synthbench.datasets.formats.messages import to_messages
from synthbench.embedded.datadir import DataDir, default_data_dir
from synthbench.embedded.nats import RESERVED_BYTES
from synthbench.embedded.postgres import check_passable
from synthbench.embedded.room import needed_bytes, require_room

DIGEST = "sha256:" + "0" * 64
SUBMISSION = uuid4()


def rollout(**changes: object) -> Rollout:
    task = TaskInfo(name="t", digest=DIGEST)
    given = {"rollout_id": uuid4(), "submission_id": SUBMISSION, "campaign": "c", "task": task}
    return Rollout.model_validate(given | {"scaffold": "native", "pool": "bubblewrap"} | changes)


def step(index: int, *calls: tuple[str, str], message: str = "", sent: list[dict] | None = None) -> Step:
    now = datetime.now(UTC)
    called = [ToolCall(id=f"{index}.{n}", name=name, arguments=text) for n, (name, text) in enumerate(calls)]
    return Step(
        index=index, started_at=now, finished_at=now, action=Action(message=message, tool_calls=called),
        observations=[Observation(tool_call_id=call.id, content="long", shown="short") for call in called],
        state=State(cwd="/workspace"),
        model_call=None if sent is None else ModelCall(
            model="m", provider="p", base="", messages=json.dumps(sent), response="{}"),
    ).sealed()  # fmt: skip


def envelope(body: Record) -> Envelope:
    return Envelope(id=uuid4(), time=datetime.now(UTC), source="test", body=body)


def trajectory(*steps: Step) -> Trajectory:
    return Trajectory.model_validate(
        {"trajectory_id": uuid4(), "rollout": rollout(), "attempt": 1, "outcome": "unsolved", "steps": list(steps),
         "context": AttemptContext(instruction="Do it.", tools='[{"type": "function"}]')}
    )  # fmt: skip


def test_messages_come_from_what_was_really_sent():
    system, user = {"role": "system", "content": "s"}, {"role": "user", "content": "u"}
    first = {"role": "assistant", "content": None, "tool_calls": [{"id": "0.0"}]}
    answer = {"role": "tool", "tool_call_id": "0.0", "content": "short"}
    made = to_messages(
        trajectory(
            step(0, ("bash", "{}"), sent=[system, user]),
            step(1, ("submit", "{}"), message="Done.", sent=[first, answer]),
        )
    )
    assert made["messages"][:4] == [system, user, first, answer]
    assert made["messages"][4]["content"] == "Done."
    assert made["messages"][5] == {"role": "tool", "tool_call_id": "1.0", "content": "short"}
    assert made["tools"] == [{"type": "function"}]


def test_messages_without_a_model_come_from_the_steps():
    made = to_messages(trajectory(step(0, ("bash", "{}")), step(1, message="Nothing.")))
    assert [m["role"] for m in made["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert made["messages"][0]["content"] == "Do it."
    assert made["messages"][3] == {"role": "assistant", "content": "Nothing."}


def test_messages_of_an_agent_that_began_anew_are_its_last_ones():
    first, second = (
        step(0, message="a", sent=[{"role": "user", "content": "title?"}]),
        step(1, message="b", sent=[{"role": "user", "content": "u"}]),
    )
    assert second.model_call is not None
    anew = second.model_copy(update={"model_call": second.model_call.model_copy(update={"whole": True})})
    made = to_messages(trajectory(first, anew))
    assert [m["content"] for m in made["messages"]] == ["u", "b"]


def test_messages_of_another_wire_are_made_of_the_steps():
    asked = step(0, ("bash", "{}"), sent=[{"role": "user", "content": [{"type": "tool_result"}]}])
    assert asked.model_call is not None
    call = asked.model_call.model_copy(update={"response": '{"type": "message"}', "base": '{"tools": [{"name": "x"}]}'})
    made = to_messages(trajectory(asked.model_copy(update={"model_call": call})))
    assert [(m["role"], m["content"]) for m in made["messages"]] == [
        ("user", "Do it."), ("assistant", None), ("tool", "short"),
    ]  # fmt: skip


class TestProgress:
    def test_to_the_end(self):
        one, two = rollout(), rollout()
        progress = Progress(SUBMISSION)
        accepted = TaskAccepted.model_validate(
            {"submission_id": SUBMISSION, "campaign": "c", "task": one.task,
             "pool": "process",
             "rollout_ids": [one.rollout_id, two.rollout_id]}
        )  # fmt: skip
        for body in (accepted, started(one), recorded(one, 0), recorded(one, 1), recorded(one, 0)):
            assert progress.apply(envelope(body))
        assert [r.stage for r in progress.rollouts.values()] == ["running", "queued"]
        assert progress.rollouts[one.rollout_id].steps == 2
        progress.apply(envelope(curated(one)))
        assert not progress.over
        progress.apply(envelope(curated(two)))
        assert progress.over
        assert progress.curated

    def test_a_second_attempt_counts_its_own_steps(self):
        one, progress = rollout(), Progress(SUBMISSION)
        for body in (started(one), recorded(one, 4), started(one, attempt=2), recorded(one, 0, attempt=2)):
            progress.apply(envelope(body))
        (seen,) = progress.rollouts.values()
        assert (seen.attempt, seen.steps) == (2, 1)

    def test_others_are_left_alone_and_a_rejection_is_the_end(self):
        progress = Progress(SUBMISSION)
        assert not progress.apply(envelope(started(rollout(submission_id=uuid4()))))
        assert not progress.rollouts
        progress.apply(envelope(TaskRejected(submission_id=SUBMISSION, errors=[FieldError(field="task", message="?")])))
        assert progress.over
        assert progress.rejected[0].field == "task"


def scope(one: Rollout, attempt: int) -> dict[str, object]:
    return {"submission_id": one.submission_id, "campaign": "c", "rollout_id": one.rollout_id, "attempt": attempt}


def started(one: Rollout, attempt: int = 1) -> AttemptStarted:
    return AttemptStarted.model_validate(
        {**scope(one, attempt), "rollout": one, "context": AttemptContext(), "started_at": datetime.now(UTC)}
    )


def recorded(one: Rollout, index: int, attempt: int = 1) -> StepRecorded:
    return StepRecorded.model_validate({**scope(one, attempt), "step": step(index)})


def curated(one: Rollout) -> TrajectoryCurated:
    return TrajectoryCurated.model_validate(
        {**scope(one, 1), "trajectory_id": uuid4(), "status": "admitted", "verdict": "accept", "policy": "p"}
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[campaign", "no TOML"),
        ("", "campaign: "),
        ("[campaign]\ntasks = []\nmodels = ['sim/expert']\n", "campaign.tasks: "),
        ("[campaign]\ntasks = ['*']\nmodels = ['m']\nsample = 3\n", "campaign.sample: "),
        ("[campaign]\ntasks = ['*']\nmodels = ['m']\nsamples = 0\n", "campaign.samples: "),
        ("[campaign]\ntasks = ['*']\nmodels = ['m']\nmax_cost_usd = -1\n", "campaign.max_cost_usd: "),
    ],
)
def test_a_bad_campaign_file_is_one_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(CliError) as refused:
        load_campaign(tmp_path / "c.toml")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_campaign_file(tmp_path: Path):
    with pytest.raises(CliError, match="No such file"):
        load_campaign(tmp_path / "none.toml")


def test_an_unset_key_is_told_before_anything_starts():
    with pytest.raises(CliError, match="MY_KEY is not set"):
        use_upstream("http://127.0.0.1:1/v1", "MY_KEY")


class TestDataDir:
    def test_secrets_stay_and_are_private(self, tmp_path: Path):
        first, second = DataDir(tmp_path / "d"), DataDir(tmp_path / "d")
        assert first.secret("one") == second.secret("one")
        assert first.secret("one") != first.secret("two")
        assert (tmp_path / "d/secrets/one").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "d/secrets").stat().st_mode & 0o777 == 0o700

    def test_one_holds_the_lock(self, tmp_path: Path):
        data = DataDir(tmp_path / "d")
        held = data.try_lock("x")
        assert held is not None
        assert data.try_lock("x") is None
        assert data.is_locked("x")
        held.close()
        assert not data.is_locked("x")
        again = data.try_lock("x")
        assert again is not None
        again.close()

    def test_unwritable(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(CliError, match=r"Not a directory; set SYNTHBENCH_DATA_DIR"):
            DataDir(tmp_path / "file/d")

    def test_no_room(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=50 << 20))
        data = DataDir(tmp_path / "d")  # what looks at a stack, or stops it, needs no room
        assert not data.is_locked("stack")
        with pytest.raises(CliError, match=r"only 50 MiB free, \d{4} are needed \(.* that the bus reserves"):
            require_room(data)

    def test_room_that_the_bus_holds_already_is_not_asked_for_again(self, tmp_path: Path):
        data = DataDir(tmp_path / "d")
        before = needed_bytes(data)
        (data.sub("nats") / "jetstream").mkdir(parents=True)
        (data.sub("nats") / "jetstream" / "block").write_bytes(bytes(8 << 20))
        assert before - needed_bytes(data) == 8 << 20
        assert before > RESERVED_BYTES >= 2 << 30

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
    def test_a_folder_that_postgres_user_cannot_pass_is_named_with_the_cure(self):
        with tempfile.TemporaryDirectory() as name:  # which has mode 0700, as `mktemp -d` has
            closed = Path(name)
            (closed / "d").mkdir()
            with pytest.raises(CliError, match=rf"the user nobody, .* cannot pass the folder {closed} \(mode 0700\)"):
                check_passable(closed / "d", (65534, 65534))
            closed.chmod(0o711)
            check_passable(closed / "d", (65534, 65534))

    def test_where_it_is(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert default_data_dir() == tmp_path / "synth-bench"
        monkeypatch.setenv("SYNTHBENCH_DATA_DIR", "here")
        assert default_data_dir() == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nonsense"], 2, "nonsense"),
        (["generate-trajectory"], 2, "--task"),
        (["generate-trajectory", "--task", "t", "--samples", "many"], 2, "samples"),
        (["run", "none.toml"], 1, "none.toml: No such file"),
        (["trajectories", "export", "x", "--format", "xml"], 2, "format"),
    ],
)
def test_wrong_arguments_are_told_without_a_traceback(tmp_path: Path, arguments: list[str], code: int, said: str):
    env = {**os.environ, "SYNTHBENCH_DATA_DIR": str(tmp_path / "d"), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "synthbench.cli", *arguments],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_hosts_that_were_refused_are_shown(capsys: pytest.CaptureFixture[str]):
    refused = trajectory()
    info = SandboxInfo(refused_hosts=["files.test:443", "[x].test:80"])
    refused = refused.model_copy(update={"context": refused.context.model_copy(update={"sandbox": info})})
    trajectory_view.summary(refused, {}, "here")
    trajectory_view.summary(trajectory(), {}, "here")
    said = capsys.readouterr().out
    assert said.count("refused") == 1
    assert "files.test:443, [x].test:80" in said


def test_config_show_names_the_folders_of_the_embedded_stack():
    env = {name: value for name, value in os.environ.items() if not name.startswith("SYNTHBENCH_")}
    with tempfile.TemporaryDirectory() as folder:  # a short path, which the table does not fold
        env |= {"SYNTHBENCH_DATA_DIR": f"{folder}/d", "NO_COLOR": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "synthbench.cli", "config", "show", "executor"],
            env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = {words[1]: words[2:] for words in map(str.split, done.stdout.splitlines()) if len(words) > 3}
    assert shown["sandbox_root"] == [f"{folder}/d/sandboxes", "embedded", "stack", "in", f"{folder}/d"]
    assert shown["artifacts_url"][0] == f"file://{folder}/d/artifacts"
