"""Random hostile arguments and files at the command line: one clear line at most, and never a traceback.

The stack that the variables name is not there, so that commands end where they would ask it.
"""

import json
import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzzing import HOSTILE_JSON, HOSTILE_NUMBER, HOSTILE_TEXT, fuzz
from in_process import run_command
from synthbench.embedded.children import free_port
from synthbench.tasks.archive import read_folder
from synthbench.tasks.library import library_tasks

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

ARGUMENT = (
    HOSTILE_TEXT.map(lambda text: text.replace("\0", ""))
    .map(lambda text: "".join(one for one in text if not "\ud800" <= one <= "\udfff" or "\udc80" <= one <= "\udcff"))
    | HOSTILE_NUMBER.map(str)
    | st.sampled_from(
        ["", "-", "--", "-1", "--help", "nan", "inf", "1e999", "9" * 400, "\udcff", "../..", "/", ".", "~", "a=b",
            "=", "a,b",
         "[bold]x[/bold]", "[/]", "{}", "%s", "task:*", "reward>nan", '"', "-" * 50, "x" * 9000, "\x1b[2J", "\r\n",
         "$(id)"]
    )
)  # fmt: skip
"""As the system hands them over: without NUL; bytes that are no UTF-8 are surrogates of the range DC80 to DCFF."""

WITH_TEXT = [
    ["trajectories", "list", "{}"], ["trajectories", "list", "--limit", "{}"], ["trajectories", "show", "{}"],
    ["trajectories", "fork", "{}", "--step", "{}"], ["trajectories", "export", "{}"],
    ["trajectories", "export", "--filter", "{}", "--format", "{}"], ["trajectories", "export", "x", "--output", "{}"],
    ["trajectories", "rescore", "{}", "--weights", "{}"], ["trajectories", "import", "{}", "--dry-run"],
    ["trajectories", "import", "plain.json", "--labels", "{}", "--dry-run"],
    ["trajectories", "import", "plain.json", "--format", "{}", "--model", "{}", "--campaign", "{}", "--dry-run"],
    ["generate-trajectory", "--task", "{}"], ["generate-trajectory", "--task", "simple-task-001", "--max-cost", "{}"],
    ["generate-trajectory", "--task", "simple-task-001", "--samples", "{}", "--seed", "{}", "--model", "{}"],
    ["generate-trajectory", "--task", "simple-task-001", "--scaffold", "{}", "--scaffold-arg", "{}"],
    ["generate-trajectory", "--task", "simple-task-001", "--base-url", "{}", "--api-key-env", "{}"],
    ["generate-trajectory", "--task", "simple-task-001", "--temperature", "{}", "--extra-body", "{}"],
    ["run", "{}"], ["campaigns", "resume", "{}", "--max-cost-usd", "{}"], ["campaigns", "digest", "{}"],
    ["compare", "--scaffolds", "{}", "--tasks", "{}"], ["stats", "{}", "--by", "{}", "-k", "{}"],
    ["stats", "--view", "{}", "--campaign", "{}"], ["stats", "--format", "csv", "--output", "{}"], ["cost", "--by",
        "{}"],
    ["tasks", "show", "{}"], ["tasks", "check", "{}"], ["tasks", "init", "made", "--name", "{}"], ["tasks", "release",
        "{}"],
    ["models", "add", "{}"], ["models", "add", "lab/m", "--base-url", "{}", "--kind", "{}", "--provider", "{}"],
    ["models", "add", "lab/m", "--input-price", "{}", "--output-price", "{}", "--context", "{}"],
    ["models", "add", "lab/m", "--api-key-env", "{}"], ["models", "add", "lab/m", "--api-key-file", "{}"],
    ["models", "remove", "{}"], ["models", "test", "{}"], ["artifacts", "verify", "{}"], ["dead", "show", "{}"],
    ["dead", "resend", "{}"], ["logs", "{}"], ["config", "show", "{}"], ["tokens", "new", "{}", "--role", "{}"],
    ["tokens", "revoke", "{}"], ["sandboxes", "shell", "{}"], ["scaffolds", "{}"], ["rebuild", "{}"], ["{}"], ["{}",
        "{}"],
]  # fmt: skip

TOML_TEXT = st.text(
    st.sampled_from("[]=\"'.,{}#\n \\") | st.characters(exclude_categories=["Cs"]), max_size=60
) | st.sampled_from(["[a" + ".a" * 3000 + "]", "a = " + "[" * 3000, "a = " + "9" * 5000, "a = nan", "a = 1979-05-27"])
TABLE_VALUE = (
    HOSTILE_JSON.map(json.dumps)
    | HOSTILE_NUMBER.map(str)
    | st.sampled_from(['""', "[]", "{}", "[[]]", "1979-05-27", "true", "-1", "nan", "1e400", '["*"]', '"\\u0000"',
        '["../x"]'])
)  # fmt: skip
CAMPAIGN_FIELDS = ["name", "tasks", "models", "scaffold", "sandbox", "samples", "seed", "sampling", "max_cost_usd",
                   "budget_usd", "allow_unknown_price"]  # fmt: skip
CAMPAIGN = st.dictionaries(st.sampled_from(CAMPAIGN_FIELDS) | HOSTILE_TEXT.map(json.dumps), TABLE_VALUE,
    max_size=5).map(
    lambda fields: "[campaign]\n" + "".join(f"{name} = {value}\n" for name, value in fields.items())
)  # fmt: skip
MODELS = st.tuples(
    st.sampled_from(["providers", "models", "routes"]),
    st.dictionaries(
        st.sampled_from(["lab", '"lab/m"', "kind", "base_url", "prices", "models", "provider", "input"]), TABLE_VALUE
    ),
    st.sampled_from(["", ".lab", '."lab/m"', ".x.y"]),
).map(lambda made: f"[{made[0]}{made[2]}]\n" + "".join(f"{name} = {value}\n" for name, value in made[1].items()))
LABELS = st.lists(
    st.tuples(HOSTILE_TEXT, st.sampled_from(["true", "false", "1", "", "maybe"]) | HOSTILE_TEXT), max_size=4
).map(lambda rows: "instance_id,resolved\n" + "".join(f"{name},{word}\n" for name, word in rows))
BYTES = st.binary(max_size=80) | st.sampled_from(
    [b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 100_000, b"x" * 200_000]
)
MANIFEST = st.tuples(
    st.sampled_from(
        ["task", "metadata", "verifier", "agent", "environment", "tool.synth-bench", "metadata.synth-bench"]
    ),
    st.dictionaries(
        st.sampled_from(["name", "description", "timeout_sec", "cpus", "difficulty", "tags", "schema_version"]),
        TABLE_VALUE,
    ),
).map(lambda made: f'schema_version = "1.4"\n[{made[0]}]\n' + "".join(f"{k} = {v}\n" for k, v in made[1].items()))

FILES = {
    "campaign.toml": (["run", "campaign.toml"], CAMPAIGN),
    "models.toml": (["models", "list"], MODELS),
    "models.toml of a change": (["models", "add", "lab/m", "--base-url", "http://127.0.0.1:9/v1"], MODELS),
    "models.toml of a removal": (["models", "remove", "lab/m"], MODELS),
    "labels.csv": (["trajectories", "import", "plain.json", "--labels", "labels.csv", "--dry-run"], LABELS),
    "import.jsonl": (["trajectories", "import", "import.jsonl", "--dry-run"], HOSTILE_JSON.map(json.dumps)),
    "import.json": (["trajectories", "import", "import.json", "--dry-run"], HOSTILE_JSON.map(json.dumps)),
    "task/task.toml": (["tasks", "show", "./task"], MANIFEST),
    "task/instruction.md": (["tasks", "show", "./task"], HOSTILE_TEXT),
    "task/tests/test.sh": (["tasks", "check", "./task"], HOSTILE_TEXT),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and variables that name a stack that is not there."""
    dead = f"127.0.0.1:{free_port()}"
    for name in [one for one in os.environ if one.startswith("SYNTHBENCH_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "DATA_DIR": str(tmp_path / "data"), "NATS_URL": f"nats://{dead}", "SCHEDULER_URL": f"http://{dead}",
        "COLLECTOR_URL": f"http://{dead}", "ARTIFACTS_URL": f"file://{tmp_path / 'artifacts'}",
        "POSTGRES_DSN": f"postgresql://{dead}/x", "MODELS_FILE": str(tmp_path / "models.toml"),
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SYNTHBENCH_{name}", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.json").write_text("{}")
    for path, file in read_folder(library_tasks()["simple-task-001"]).items():
        (tmp_path / "task" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "task" / path).write_bytes(file.data)
    return tmp_path


def check(arguments: list[str]) -> None:
    """Fail unless the command ends as commands do, with one line of an error at most."""
    done = run_command(arguments)
    code, told = done.returncode, done.stderr
    assert code in (0, 1, 2), (arguments, code, told)
    assert "Traceback" not in told, (arguments, told)
    assert told.count("synth-bench: ") <= 1 or told.count("\n") <= 1, (arguments, told)
    if "synth-bench: " in told:
        assert told[told.index("synth-bench: ") :].count("\n") == 1, (arguments, told)
    if code:
        assert told.strip(), arguments


@pytest.mark.parametrize("path", ["x" * 10_000, "loop/x"])
def test_a_path_that_cannot_be_is_told_in_one_line(folder: Path, path: str):
    (folder / "loop").symlink_to(folder / "loop")
    for command in (["trajectories", "import", path, "--dry-run"], ["tasks", "show", f"./{path}"], ["run", path]):
        check(command)


@fuzz(100, shrink=False, command=st.sampled_from(WITH_TEXT), data=st.data())
def test_no_argument_ends_a_command_otherwise_than_with_one_line(folder: Path, command: list[str], data: st.DataObject):
    assert folder.is_dir()
    check([data.draw(ARGUMENT) if one == "{}" else one for one in command])


@fuzz(50, shrink=False, name=st.sampled_from(sorted(FILES)), data=st.data())
def test_no_content_of_a_file_ends_a_command_otherwise_than_with_one_line(folder: Path, name: str, data: st.DataObject):
    command, contents = FILES[name]
    content = data.draw(
        contents.map(lambda text: text.encode(errors="surrogatepass")) | TOML_TEXT.map(str.encode) | BYTES
    )
    path = folder / name.partition(" of ")[0]
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    try:
        check(command)
    finally:
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
