"""Any number of trajectories come out by one command, as JSON lines."""

import json
import time
from pathlib import Path

import pytest

from .test_import import mini

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(300)]
COUNT = 200
LINES_OF = {"messages": "messages", "atif": "steps", "json": "steps"}
"""The formats, and a field that each of their lines has."""


@pytest.fixture(scope="module")
def many(stack, tmp_path_factory: pytest.TempPathFactory):
    """A stack with many trajectories of one campaign, and one of another."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        (folder / f"task-{number:03}.traj.json").write_text(json.dumps(mini(f"task-{number:03}")))
    stack.ask("trajectories", "import", str(folder), "--campaign", "many")
    other = tmp_path_factory.mktemp("other") / "other.traj.json"
    other.write_text(json.dumps(mini("other")))
    stack.ask("trajectories", "import", str(other), "--campaign", "other")
    return stack


@pytest.mark.parametrize("form", LINES_OF)
def test_a_filter_gives_one_json_line_for_each_trajectory_it_finds(many, tmp_path: Path, form: str):
    file = tmp_path / f"{form}.jsonl"
    wanted = ["trajectories", "export", "--filter", "campaign:many", "--format", form]
    done = many.ask(*wanted, "--output", str(file))
    assert f"wrote {COUNT} trajectories into {file}" in " ".join(done.stderr.split())
    assert done.stdout == ""
    streamed = many.ask(*wanted, "--output", "-")
    assert streamed.stdout == file.read_text()
    documents = [json.loads(line) for line in streamed.stdout.splitlines()]
    assert len(documents) == COUNT
    assert all(document[LINES_OF[form]] for document in documents)
    text = streamed.stdout
    assert all(text.count(f"Mend task-{number:03}.") >= 1 for number in range(COUNT))
    assert "Mend other." not in text


def test_a_line_of_many_is_the_document_that_one_alone_gives(many):
    listed = json.loads(many.ask("trajectories", "list", "campaign:many", "--limit", "2", "--json").stdout)
    ids = [one["trajectory_id"] for one in listed]
    lines = many.ask("trajectories", "export", *ids, "--format", "messages").stdout.splitlines()
    alone = [many.ask("trajectories", "export", one, "--format", "messages").stdout for one in ids]
    assert [json.loads(line) for line in lines] == [json.loads(document) for document in alone]


def test_many_take_a_small_part_of_the_time_that_one_by_one_takes(many):
    (one,) = many.json("trajectories", "list", "campaign:many", "--limit", "1")
    began = time.monotonic()
    many.run("trajectories", "export", one["trajectory_id"], "--format", "messages")
    each = time.monotonic() - began
    began = time.monotonic()
    many.run("trajectories", "export", "--filter", "campaign:many", "--format", "messages")
    together = time.monotonic() - began
    print(f"\n{COUNT} together: {together:.2f} s; one by one: {each:.2f} s each, {each * COUNT:.0f} s in all")
    assert together < each * COUNT / 5
