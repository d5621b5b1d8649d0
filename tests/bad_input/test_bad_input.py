"""A corpus of broken input, each with the message that a user sees, word for word, in messages.json.

`UPDATE=1 pytest tests/bad_input` writes the messages anew; read the difference before you commit it.
"""

import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from synthbench.chassis.errors import SettingsError
from synthbench.chassis.settings import Settings, load_settings
from synthbench.cli.commands.generate import load_campaign
from synthbench.client.errors import CliError
from synthbench.contracts.cloudevents import MalformedEvent, decode
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.records import RolloutLimits, TaskInfo
from synthbench.executor.domain.clock import Clock
from synthbench.executor.scaffolds.native.tools import Toolbox
from synthbench.sandbox.engines import choose_engine
from synthbench.sandbox.errors import ArchiveRefused
from synthbench.sandbox.protocol import Sandbox
from synthbench.sandbox.spec import SandboxSpec
from synthbench.scheduler.domain.planning import DeploymentPolicy, TaskFacts, plan
from synthbench.tasks import PackageArchiveRefused, TaskError, load_package, unpack
from synthbench.tasks.archive import PackedFile, make_tar, read_folder
from synthbench.tasks.library import library_tasks
from synthbench.wire.turns import read_action

SNAPSHOT = Path(__file__).with_name("messages.json")
KNOWN: dict[str, str] = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
SEEN: dict[str, str] = {}


def said(name: str, message: str) -> None:
    """One line, without a traceback or a path of this machine, and the words that were agreed."""
    assert message, name
    assert "\n" not in message
    assert "Traceback" not in message
    SEEN[name] = message
    if os.environ.get("UPDATE") == "1":
        KNOWN[name] = message
        SNAPSHOT.write_text(json.dumps(dict(sorted(KNOWN.items())), indent=1, ensure_ascii=False) + "\n")
    assert KNOWN.get(name) == message


EVENTS: dict[str, tuple[str, dict[str, str], bytes]] = {
    "empty": ("task.submitted", {}, b""),
    "no JSON": ("task.submitted", {}, b"task=simple-task-001"),
    "not UTF-8": ("task.submitted", {}, b'{"task": "\xff\xfe"}'),
    "a list": ("task.submitted", {}, b"[]"),
    "a number": ("task.submitted", {}, b"7"),
    "cut short": ("task.submitted", {}, b'{"task": "simple-task-001"'),
    "no task": ("task.submitted", {}, b"{}"),
    "task is a number": ("task.submitted", {}, b'{"task": 7}'),
    "task is empty": ("task.submitted", {}, b'{"task": ""}'),
    "task is endless": ("task.submitted", {}, json.dumps({"task": "x" * 9999}).encode()),
    "unknown field": ("task.submitted", {}, b'{"task": "t", "sample": 3}'),
    "no samples": ("task.submitted", {}, b'{"task": "t", "samples": 0}'),
    "samples as text": ("task.submitted", {}, b'{"task": "t", "samples": "many"}'),
    "too many samples": ("task.submitted", {}, b'{"task": "t", "samples": 1000000}'),
    "unknown priority": ("task.submitted", {}, b'{"task": "t", "priority": "urgent"}'),
    "negative cap": ("task.submitted", {}, b'{"task": "t", "max_cost_microusd": -1}'),
    "cap as a fraction": ("task.submitted", {}, b'{"task": "t", "max_cost_microusd": 0.5}'),
    "no UUID": ("task.submitted", {}, b'{"task": "t", "submission_id": "mine"}'),
    "campaign with spaces": ("task.submitted", {}, b'{"task": "t", "campaign": "my first one"}'),
    "arguments are no map": ("task.submitted", {}, b'{"task": "t", "scaffold_args": ["a"]}'),
    "two faults at once": ("task.submitted", {}, b'{"task": "", "samples": -1}'),
    "an infinite limit": ("task.submitted", {}, b'{"task": "t", "max_seconds": Infinity}'),
    "a million brackets": ("task.submitted", {}, b"[" * 1_000_000),
    "unknown type": ("task.submitted", {"ce-type": "synthbench.task.submitted.v9"}, b"{}"),
    "type of another subject": ("task.submitted", {"ce-type": "synthbench.attempt.closed.v1"}, b"{}"),
    "unknown subject": ("task.finished", {}, b"{}"),
    "a step without its attempt": ("step.recorded", {}, b'{"step": {}}'),
    "a cancel of nothing": ("cancel.requested", {}, b"{}"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_events(name: str):
    subject, headers, payload = EVENTS[name]
    with pytest.raises(MalformedEvent) as refused:
        decode(subject, headers, payload, sequence=lambda: 1, stream="EVENTS")
    said(f"event: {name}", str(refused.value))


FACTS = TaskFacts(
    TaskInfo(name="t", digest="sha256:" + "0" * 64, difficulty="easy"), ("bubblewrap", "process"), from_library=False
)
SUBMISSIONS: dict[str, tuple[dict[str, object], DeploymentPolicy]] = {
    "unknown scaffold": ({"scaffold": "magic", "route": "m"}, DeploymentPolicy(("bubblewrap",), ("native", "nop"))),
    "a model where none is used": (
        {"scaffold": "nop", "route": "m"},
        DeploymentPolicy(("bubblewrap",), ("native", "nop")),
    ),
    "no model": ({}, DeploymentPolicy(("bubblewrap",), ("native", "nop"))),
    "an engine that nobody serves": (
        {"route": "m", "engine": "docker"},
        DeploymentPolicy(("bubblewrap",), ("native",)),
    ),
    "no engine fits": ({"route": "m"}, DeploymentPolicy(("docker",), ("native",))),
    "no executor at all": ({"route": "m"}, DeploymentPolicy((), ("native",))),
    "unisolated with a real model": ({"route": "m"}, DeploymentPolicy(("process",), ("native",))),
}


@pytest.mark.parametrize("name", SUBMISSIONS)
def test_submissions(name: str):
    wanted, policy = SUBMISSIONS[name]
    made = plan(UUID(int=1), TaskSubmitted.model_validate({"task": "t", **wanted}), FACTS, policy)
    assert not made.rollouts
    said(f"submission: {name}", "; ".join(f"{error.field}: {error.message}" for error in made.errors))


def package() -> dict[str, PackedFile]:
    return read_folder(library_tasks()["simple-task-001"])


def toml(change: Callable[[str], str]) -> Callable[[dict[str, PackedFile]], None]:
    def apply(files: dict[str, PackedFile]) -> None:
        files["task.toml"] = PackedFile(change(files["task.toml"].data.decode()).encode())

    return apply


def put(name: str, data: bytes) -> Callable[[dict[str, PackedFile]], None]:
    return lambda files: files.update({name: PackedFile(data)})


def drop(prefix: str) -> Callable[[dict[str, PackedFile]], None]:
    def apply(files: dict[str, PackedFile]) -> None:
        for name in [name for name in files if name.startswith(prefix)]:
            del files[name]

    return apply


TASKS: dict[str, Callable[[dict[str, PackedFile]], None]] = {
    "no task.toml": drop("task.toml"),
    "task.toml is no TOML": toml(lambda text: text + "\n[["),
    "task.toml is not UTF-8": put("task.toml", b"\xff"),
    "no task table": put("task.toml", b'schema_version = "1.4"\n'),
    "a name without its organisation": toml(lambda text: text.replace("synth-bench/simple", "simple")),
    "another schema": toml(lambda text: text.replace('schema_version = "1.4"', 'schema_version = "2.0"')),
    "unknown difficulty": toml(lambda text: text.replace('difficulty = "easy"', 'difficulty = "trivial"')),
    "unknown key of ours": toml(lambda text: text.replace("expected_steps", "expected_stepz")),
    "unknown engine": toml(lambda text: text.replace('"docker"]', '"podman"]')),
    "a limit of nothing": toml(lambda text: text.replace("cpus = 1", "cpus = 0")),
    "no expected test": toml(lambda text: text.split("fail_to_pass")[0] + "fail_to_pass = []\n"),
    "no instruction": drop("instruction.md"),
    "an empty instruction": put("instruction.md", b" \n"),
    "no workspace": drop("environment/workspace/"),
    "no tests": drop("tests/"),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks(name: str, tmp_path: Path):
    files = package()
    TASKS[name](files)
    for path, file in files.items():
        target = tmp_path / "task" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.data)
    with pytest.raises(TaskError) as refused:
        load_package(tmp_path / "task")
    said(f"task: {name}", str(refused.value).replace(str(tmp_path), ""))


def tar(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data, attributes in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in attributes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def bomb() -> bytes:
    """Says that it holds a terabyte."""
    info = tarfile.TarInfo("huge")
    info.size = 1 << 40
    return info.tobuf() + b"\0" * 1024


SYMLINK, HARDLINK, DEVICE, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
ARCHIVES: dict[str, bytes] = {
    "no tar": b"PK\x03\x04 this is a zip",
    "empty": b"",
    "cut short": make_tar({"a": PackedFile(b"x" * 5000)})[:3000],
    "an absolute path": tar(("/etc/passwd", b"x", {})),
    "a path that climbs": tar(("a/../../b", b"x", {})),
    "a link to outside": tar(("link", b"", {"type": SYMLINK, "linkname": "/etc/passwd"})),
    "a file behind a link": tar(
        ("d", b"", {"type": SYMLINK, "linkname": "/tmp"}), ("d/file", b"x", {}),
    ),
    "a hard link": tar(("link", b"", {"type": HARDLINK, "linkname": "/etc/shadow"})),
    "a device": tar(("null", b"", {"type": DEVICE, "devmajor": 1, "devminor": 3})),
    "a pipe": tar(("pipe", b"", {"type": FIFO})),
    "a bomb": bomb(),
    "the same file twice": tar(("a", b"1", {}), ("a", b"2", {})),
    "a hundred folders deep": tar(("/".join("d" * 100) + "/x", b"x", {})),
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_of_tasks(name: str):
    with pytest.raises((PackageArchiveRefused, TaskError)) as refused:
        unpack(ARCHIVES[name])
    said(f"task archive: {name}", str(refused.value))


@pytest.fixture
async def sandbox():
    with tempfile.TemporaryDirectory(prefix="synthbench-test-") as folder:
        Path(folder).chmod(0o711)
        engine = (await choose_engine(None, root=Path(folder, "boxes"))).engine
        made = await engine.create(SandboxSpec(owner="test"))
        yield made
        await made.close()
        await engine.aclose()


@pytest.mark.parametrize("name", [name for name in ARCHIVES if name not in ("the same file twice", "empty")])
async def test_archives_of_agents(name: str, sandbox: Sandbox):
    before = await sandbox.snapshot()
    try:
        await sandbox.upload(ARCHIVES[name])
    except ArchiveRefused as refused:
        said(f"workspace archive: {name}", str(refused))
        diff, _ = await sandbox.step(before)
        assert [change.path for change in diff.changes if change.type != "dir"] == []
    else:
        # What is not refused has to be harmless: everything that it made lies in the workspace.
        said(f"workspace archive: {name}", "taken: " + ", ".join(
            f"{change.type} {change.path[-40:]}" for change in (await sandbox.step(before))[0].changes))  # fmt: skip


SETTINGS: dict[str, tuple[dict[str, str], str]] = {
    "port as text": ({"SYNTHBENCH_HTTP_PORT": "eighty"}, ""),
    "port out of range": ({"SYNTHBENCH_HTTP_PORT": "70000"}, ""),
    "unknown level": ({"SYNTHBENCH_LOG_LEVEL": "LOUD"}, ""),
    "no time to drain": ({"SYNTHBENCH_DRAIN_SECONDS": "soon"}, ""),
    "toml is no TOML": ({}, "http_port = = 1"),
    "toml with a wrong type": ({}, 'http_port = "x"'),
    "the named file is missing": ({"SYNTHBENCH_CONFIG": "/nowhere.toml"}, ""),
    "the secret's file is missing": ({"SYNTHBENCH_API_TOKEN_FILE": "/nowhere"}, ""),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    environment, text = SETTINGS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synth-bench.toml").write_text(text)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(SettingsError) as refused:
        load_settings(Settings)
    said(f"setting: {name}", str(refused.value).replace(str(tmp_path), ""))


CAMPAIGNS = {
    "no TOML": "[campaign",
    "nothing": "",
    "no task": "[campaign]\ntasks = []\nmodels = ['m']\n",
    "a misspelt key": "[campaign]\ntasks = ['*']\nmodels = ['m']\nsample = 3\n",
    "no sample": "[campaign]\ntasks = ['*']\nmodels = ['m']\nsamples = 0\n",
}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_campaigns(name: str, tmp_path: Path):
    (tmp_path / "c.toml").write_text(CAMPAIGNS[name])
    with pytest.raises(CliError) as refused:
        load_campaign(tmp_path / "c.toml")
    said(f"campaign: {name}", str(refused.value).replace(str(tmp_path), ""))


def called(name: object, arguments: object) -> dict[str, object]:
    return {"tool_calls": [{"id": "a", "function": {"name": name, "arguments": arguments}}]}


ANSWERS: dict[str, dict[str, object]] = {
    "unknown tool": called("fly", "{}"),
    "no tool name": called(None, "{}"),
    "arguments are no JSON": called("bash", "{command: ls"),
    "arguments are a list": called("bash", '["ls"]'),
    "arguments are missing": called("bash", "{}"),
    "a misspelt argument": called("bash", '{"cmd": "ls"}'),
    "a negative time": called("bash", '{"command": "ls", "timeout": -1}'),
    "a path that climbs": called("read_file", '{"path": "../../etc/passwd"}'),
    "an absolute path": called("write_file", '{"path": "/etc/passwd", "content": ""}'),
    "a file that is not there": called("read_file", '{"path": "nowhere.py"}'),
    "a text that is not there": called("edit_file", '{"path": "a.py", "old_text": "y", "new_text": ""}'),
    "a broken pattern": called("search", '{"pattern": "("}'),
    "lines that are not there": called("read_file", '{"path": "a.py", "start_line": 99}'),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answers_of_models(name: str, sandbox: Sandbox):
    await sandbox.write("a.py", b"x = 1\n")
    tools = Toolbox(sandbox, Clock(RolloutLimits()), timeout=5, shown_bytes=4000)
    (call,) = read_action(ANSWERS[name]).tool_calls
    seen = await tools.execute(call)
    assert seen.error is not None
    content = seen.content.strip().replace("\n", " ⏎ ")
    said(f"answer: {name}", content.replace(sandbox.workdir, "/workspace"))


def test_the_corpus_is_large_and_nothing_in_it_is_stale():
    cases = len(EVENTS) + len(SUBMISSIONS) + len(TASKS) + len(ARCHIVES) + len(SETTINGS) + len(CAMPAIGNS) + len(ANSWERS)
    assert cases >= 60
    assert len(KNOWN) == cases + len(ARCHIVES) - 2
