"""Files of other agents come in by one command, and go out again as they were."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .compare_imported import main as compare

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(300)]

REAL = os.environ.get("SYNTHBENCH_TEST_TRAJECTORIES", "")
"""A folder of real ones, with a labels.csv."""


def turn(text: str, number: int) -> dict:
    usage = {"prompt_tokens": 10 * number, "completion_tokens": number, "cost": 0.001 * number}
    return {"role": "assistant", "content": text, "extra": {"response": {"model": "vendor/m", "usage": usage}}}


def mini(name: str) -> dict:
    return {
        "trajectory_format": "mini-swe-agent-1", "instance_id": name,
        "info": {"exit_status": "Submitted", "submission": "diff --git a/x b/x\n"},
        "messages": [
            {"role": "system", "content": "Be careful."}, {"role": "user", "content": f"Mend {name}."},
            turn("```bash\nls\n```", 1), {"role": "user", "content": "<returncode>2</returncode>\n<output>\n\x00é\n"},
            turn("```bash\nsubmit\n```", 2), {"role": "user", "content": "diff --git a/x b/x\n"},
        ],
    }  # fmt: skip


def exported(stack, folder: Path, campaign: str) -> Path:
    folder.mkdir()
    listed = json.loads(stack.ask("trajectories", "list", f"campaign:{campaign}", "--limit", "100", "--json").stdout)
    for entry in listed:
        name = entry["task"].removeprefix("imported/")
        for form in ("messages", "atif"):
            path = str(folder / f"{name}.{form}.json")
            stack.ask("trajectories", "export", entry["trajectory_id"], "--format", form, "--output", path)
    return folder


def test_they_come_in_once_and_go_out_as_they_were(stack, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.traj.json").write_text(json.dumps(mini(name)))
    (folder / "broken.json").write_text(json.dumps(mini("three"))[:-30])
    (folder / "binary.traj").write_bytes(b"\x89PNG\xff")
    lines = [json.dumps([{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]), '{"cut": ', ""]
    (folder / "many.jsonl").write_text("\n".join(lines))
    (tmp_path / "labels.csv").write_text("instance_id,resolved\none,true\ntwo,false\n")
    wanted = ["trajectories", "import", str(folder), "--labels", str(tmp_path / "labels.csv"), "--campaign", "mine"]
    for stored, there in ((3, 0), (0, 3)):
        done = stack.ask(*wanted, check=False)
        assert done.returncode == 1
        assert "5 files, 3 trajectories read (2 mini-swe-agent, 1 messages)" in done.stderr
        assert f"{stored} stored, {there} were there already" in done.stderr
        assert "refused: broken.json: it is cut off" in done.stderr
        assert "refused: binary.traj: it is no UTF-8 text" in done.stderr
        assert "refused: many.jsonl line 2: it is cut off" in done.stderr
        assert "Traceback" not in done.stderr
    listed = json.loads(stack.ask("trajectories", "list", "campaign:mine", "--json").stdout)
    assert {(one["task"], one["outcome"], one["resolved"], one["counted"]) for one in listed} == {
        ("imported/one", "solved", True, False),
        ("imported/two", "unsolved", False, False),
        ("imported/many.jsonl#0", "unsolved", None, False),
    }
    found = json.loads(stack.ask("trajectories", "list", 'submit "Mend two" -resolved:true', "--json").stdout)
    assert [one["task"] for one in found] == ["imported/two"]
    out = exported(stack, tmp_path / "out", "mine")
    (folder / "broken.json").unlink()
    assert compare(folder, out) == 0
    shown = stack.ask("trajectories", "show", listed[0]["trajectory_id"])
    assert "nothing was verified here" in " ".join(shown.stdout.split())
    audited = stack.ask("audit", "--json", check=False)
    assert [one for one in json.loads(audited.stdout) if not one["held"]] == []


def test_where_there_is_nothing_to_import_a_line_says_so(stack, tmp_path: Path):
    for wanted, words in (
        ([str(tmp_path)], "has no files that end in"),
        ([str(tmp_path / "no")], "is not there"),
        ([], "name files or folders"),
    ):
        done = stack.ask("trajectories", "import", *wanted, check=False)
        assert done.returncode == 2
        assert words in " ".join(done.stderr.split())
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    (tmp_path / "one.json").write_text(json.dumps(mini("one")))
    files = [str(tmp_path / "one.json"), "--labels", str(tmp_path / "labels.csv")]
    assert "needs the columns" in stack.ask("trajectories", "import", *files, check=False).stderr
    dry = stack.ask("trajectories", "import", str(tmp_path / "one.json"), "--dry-run")
    assert "1 trajectories read" in dry.stderr
    assert "stored" not in dry.stderr


@pytest.mark.skipif(not REAL, reason="SYNTHBENCH_TEST_TRAJECTORIES names no folder of real trajectories")
def test_the_real_ones(stack, tmp_path: Path):
    folder = Path(REAL)
    count = len(list(folder.glob("*.traj.json")))
    labels = ["--labels", str(folder / "labels.csv")]
    done = stack.ask("trajectories", "import", REAL, *labels, "--campaign", "real")
    assert f"{count} stored, 0 were there already" in done.stderr
    out = exported(stack, tmp_path / "out", "real")
    script = Path(__file__).with_name("compare_imported.py")
    said = subprocess.run(
        [sys.executable, "-I", script, REAL, out], capture_output=True, text=True, check=False, timeout=100
    )
    assert said.returncode == 0, said.stdout
    assert f"{count} trajectories compared, 0 differences" in said.stdout
