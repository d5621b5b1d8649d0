"""The README typed from top to bottom in a fresh clone, in one shell, in its order.

`make test` does it on a terminal of 60 columns, with one sample of each in the campaign; `FULL=1` off a terminal and on
ones of 60, 80 and 140 columns, and as it is written.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from readme.typed import Command, commands, shell

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
FULL = os.environ.get("FULL") == "1"
COLUMNS = [None, 60, 80, 140] if FULL else [60]
SAMPLES = "samples = 2"
SECONDS = 600.0
ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){0,3}(?:-[0-9a-f]{12})?\b")


@pytest.fixture
def clone() -> Iterator[Path]:
    """A clone of what is here, in a folder that Postgres' user may enter.

    Its first command sets up a `.venv` of its own. One that it shared with us would be set up to run the clone's code
    from then on, under the feet of all other tests.
    """
    with tempfile.TemporaryDirectory(prefix="synthbench-readme-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        folder = Path(name, "synth-bench")
        subprocess.run(["git", "clone", "--quiet", "--shared", str(ROOT), str(folder)], check=True)
        yield folder


def test_what_is_not_typed_is_named_by_a_rule():
    found = [one for one in commands((ROOT / "README.md").read_text()) if isinstance(one, Command)]
    left_out = [one for one in found if one.left_out]
    assert len(found) - len(left_out) >= 13
    assert len(left_out) <= 7, left_out
    assert not [one for one in left_out if one.text.startswith("synth-bench") and "API_KEY" not in one.text]


@pytest.mark.parametrize("columns", COLUMNS)
def test_the_readme_works_as_it_is_typed(clone: Path, columns: int | None, capsys: pytest.CaptureFixture[str]):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("SYNTHBENCH_", "NATS_"))}
    env |= {"SYNTHBENCH_DATA_DIR": str(clone.parent / "data"), "TERM": "xterm-256color"}
    env.pop("COLUMNS", None)
    times: list[str] = []
    listed = ""
    with shell(clone, env, columns) as terminal:
        try:
            for one in commands((clone / "README.md").read_text()):
                if isinstance(one, tuple):
                    assert SAMPLES in one[1]
                    (clone / one[0]).write_text(one[1] if FULL else one[1].replace(SAMPLES, "samples = 1"))
                    continue
                if one.left_out:
                    times.append(f"   not typed: {one.text} ({one.left_out})")
                    continue
                found = ID.search(listed)
                text = re.sub(r"\bID\b", found[0] if found else "ID", one.text)
                answer = terminal.type(text, SECONDS)
                times.append(f"{answer.seconds:7.1f} s  {text}")
                assert answer.code == 0, f"{text}\n{answer.text}\n{_supervisor_log(clone)}"
                assert "Traceback" not in answer.text, f"{text}\n{answer.text}"
                assert "synth-bench:" not in answer.text, f"{text}\n{answer.text}"
                if "trajectories list" in text:
                    listed = answer.text
        finally:
            terminal.type("synth-bench down --now", SECONDS)
            with capsys.disabled():
                print(f"\nthe README on {columns or 'no'} columns:", *times, sep="\n")
    assert Path(clone / ".venv/bin/synth-bench").is_file()
    exported = (clone / "first.jsonl").read_text().splitlines()
    assert len(exported) >= (12 if FULL else 6)


def _supervisor_log(clone: Path) -> str:
    """The last lines of the log of the stack that the clone's commands used."""
    log = clone.parent / "data/logs/supervisor.log"
    return log.read_text()[-3000:] if log.exists() else ""
