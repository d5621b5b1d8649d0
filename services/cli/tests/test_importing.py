"""`trajectories import --dry-run`: labels, lines that are refused, and what is said of them."""

import json
from pathlib import Path

import pytest

from synthbench.cli.commands.importing import import_trajectories
from synthbench.client.errors import CliError

ROW = {"messages": [{"role": "user", "content": "U"}, {"role": "assistant", "content": "A"}]}


def rows(folder: Path, *names: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({**ROW, "instance_id": name}) + "\n" for name in names))
    return path


def labels(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode())
    return path


async def said(capsys: pytest.CaptureFixture[str], *paths: Path, **options) -> str:
    await import_trajectories(*paths, dry_run=True, **options)
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("mark", ["", "\ufeff"])
async def test_labels_and_documents_that_fit_nothing_are_counted(mark, tmp_path, capsys):
    text = f"{mark}instance_id,resolved\none,true\ngone,false\nblank,\n"
    told = await said(capsys, rows(tmp_path, "one", "two", "blank"), labels=labels(tmp_path, text))
    assert "1 of 2 labels fit no document: gone" in told
    assert "2 documents have no label" in told


async def test_a_label_fits_the_name_of_a_file(tmp_path, capsys):
    path = tmp_path / "org__repo-1.json"
    path.write_text(json.dumps(ROW))
    told = await said(capsys, path, labels=labels(tmp_path, "instance_id,resolved\norg__repo-1,yes\n"))
    assert "label" not in told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("instance_id,resolved\none,maybe\n", "line 2: resolved is true or false, not 'maybe'"),
        ("instance_id,resolved\none,true\none,no\n", "line 3: one is both resolved and not"),
        ("a,b\n1,2\n", "needs the columns"),
    ],
)
async def test_labels_that_cannot_be_believed_are_refused(text, words, tmp_path):
    with pytest.raises(CliError, match=words):
        await import_trajectories(rows(tmp_path, "one"), labels=labels(tmp_path, text), dry_run=True)


async def test_lines_refused_for_one_reason_are_one_line(tmp_path, capsys):
    path = tmp_path / "session.jsonl"
    line = json.dumps({"type": "user", "sessionId": "s", "parentUuid": None, "message": {}})
    path.write_text(f"{line}\n" * 3 + "{")
    told = await said(capsys, path)
    assert "refused: session.jsonl lines 1 to 3: it is a line of a session of Claude Code" in told
    assert "refused: session.jsonl line 4: it is cut off" in told
