"""The likeliest mistakes at the command line, each with its message, word for word, in mistakes.json.

None of them starts a stack. `UPDATE=1 pytest tests/bad_input` writes the messages anew; read the difference.
"""

import json
import os
import re
from pathlib import Path

import pytest

from synthbench.cli.__main__ import main

SNAPSHOT = Path(__file__).with_name("mistakes.json")
KNOWN: dict[str, str] = json.loads(SNAPSHOT.read_text()) if SNAPSHOT.exists() else {}
TYPED: dict[str, list[str]] = {
    "a command that is not there": ["nonsense"],
    "a misspelt command": ["trajectorys", "list"],
    "no task": ["generate-trajectory"],
    "samples in words": ["generate-trajectory", "--task", "t", "--samples", "many"],
    "a negative cap": ["generate-trajectory", "--task", "t", "--max-cost", "-1"],
    "a cap that is no number": ["generate-trajectory", "--task", "t", "--max-cost", "nan"],
    "an unset key": ["generate-trajectory", "--task", "t", "--api-key-env", "MY_KEY"],
    "no campaign file": ["run", "none.toml"],
    "a negative budget": ["campaigns", "resume", "c", "--max-cost-usd", "-1"],
    "no replicas": ["up", "--replicas", "0"],
    "too many executors": ["up", "--executors", "99"],
    "no concurrency": ["up", "--concurrency", "0"],
    "logs of nobody": ["logs", "nobody"],
    "the addresses of no stack": ["env"],
    "the status of no stack": ["status"],
    "nothing to export": ["trajectories", "export"],
    "an unknown format": ["trajectories", "export", "x", "--format", "xml"],
    "an export onto a file": ["trajectories", "export", "--filter", "", "--output", "there.json"],
    "an export onto a folder": ["trajectories", "export", "--filter", "", "--output", "folder"],
    "a list of none": ["trajectories", "list", "--limit", "0"],
    "nothing to import": ["trajectories", "import"],
    "an import of nothing": ["trajectories", "import", "none.json"],
    "weights that are none": ["trajectories", "rescore", "--weights", "terminal"],
    "a funnel with a filter": ["stats", "outcome:solved", "--view", "funnel"],
    "parquet to a terminal": ["stats", "--format", "parquet"],
    "an unknown task": ["tasks", "show", "simple-task-01"],
    "a task folder that is not there": ["tasks", "check", "./mine"],
    "a task onto a folder": ["tasks", "init", "folder"],
    "no scaffolds": ["compare", "--scaffolds", "", "--tasks", "*"],
    "settings of nobody": ["config", "show", "nobody"],
    "a token for nobody": ["tokens", "new", "a b"],
}


@pytest.mark.parametrize("name", TYPED)
def test_a_mistake_is_told_in_plain_words(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for variable in [one for one in os.environ if one.startswith("SYNTHBENCH_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SYNTHBENCH_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").touch()
    with pytest.raises(SystemExit) as ended:
        main(TYPED[name])
    printed = capsys.readouterr()
    assert ended.value.code in (1, 2)
    assert not (tmp_path / "data/run/stack.json").exists()
    told = re.sub(r"[╭╮╰╯─│]", " ", printed.out + printed.err).replace(str(tmp_path), "")
    told = " ".join(told.split())
    assert told
    assert "Traceback" not in told
    if os.environ.get("UPDATE") == "1":
        KNOWN[name] = told
        SNAPSHOT.write_text(json.dumps(dict(sorted(KNOWN.items())), indent=1, ensure_ascii=False) + "\n")
    assert KNOWN.get(name) == told


def test_nothing_in_the_corpus_is_stale():
    assert KNOWN.keys() == TYPED.keys()
    assert len(TYPED) >= 20
