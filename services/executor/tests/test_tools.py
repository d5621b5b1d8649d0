"""The six tools, in a real sandbox."""

import json

import pytest

from synthbench.contracts.records import RolloutLimits
from synthbench.contracts.steps import Observation, ToolCall
from synthbench.executor.domain.clock import Clock
from synthbench.executor.scaffolds.native.tools import Toolbox
from synthbench.sandbox.protocol import Sandbox


@pytest.fixture
async def tools(sandbox: Sandbox) -> Toolbox:
    await sandbox.write("src/a.py", b"x = 1\ny = 2\nx = 1\n")
    await sandbox.write("binary", b"\xff\xfe\x00")
    return Toolbox(sandbox, Clock(RolloutLimits()), timeout=2, shown_bytes=400)


async def use(tools: Toolbox, name: str, **arguments: object) -> Observation:
    return await tools.execute(ToolCall(id="c", name=name, arguments=json.dumps(arguments)))


async def test_read_file_numbers_its_lines(tools: Toolbox):
    seen = await use(tools, "read_file", path="src/a.py", start_line=2, end_line=3)
    assert seen.content == "    2\ty = 2\n    3\tx = 1"
    assert seen.error is None


@pytest.mark.parametrize(
    ("name", "arguments", "error", "said"),
    [
        ("read_file", {"path": "nowhere"}, "path_refused", "nowhere"),
        ("read_file", {"path": "../../etc/shadow"}, "path_refused", ""),
        ("read_file", {"path": "binary"}, "failed", "no UTF-8 text"),
        ("read_file", {"path": "src/a.py", "start_line": 9}, "failed", "has 3 lines"),
        ("read_file", {"path": "src/a.py", "start_line": 0}, "bad_arguments", "start_line"),
        ("write_file", {"path": "/etc/passwd", "content": "x"}, "path_refused", ""),
        ("edit_file", {"path": "src/a.py", "old_text": "x = 1", "new_text": ""}, "no_match", "2 times"),
        ("edit_file", {"path": "src/a.py", "old_text": "z", "new_text": ""}, "no_match", "0 times"),
        ("search", {"pattern": "("}, "failed", "the search failed"),
    ],
)
async def test_mistakes_are_told_to_the_agent(tools: Toolbox, name: str, arguments: dict, error: str, said: str):
    seen = await use(tools, name, **arguments)
    assert (seen.error, said in seen.content) == (error, True)
    assert "Traceback" not in seen.content


async def test_edit_file_changes_one_place(tools: Toolbox, sandbox: Sandbox):
    seen = await use(tools, "edit_file", path="src/a.py", old_text="y = 2\nx", new_text="y = 3\nx")
    assert seen.content == "replaced 1 piece in src/a.py, at line 2"
    assert await sandbox.read("src/a.py") == b"x = 1\ny = 3\nx = 1\n"


async def test_search(tools: Toolbox):
    assert (await use(tools, "search", pattern="^y", path="src")).content == "src/a.py:2:y = 2"
    assert (await use(tools, "search", pattern="never")).content == "no match"
    # A file name that looks like an option, and a pattern that looks like one, stay what they are.
    await use(tools, "write_file", path="-v", content="--help\n")
    assert (await use(tools, "search", pattern="--help", path="-v")).content == "-v:1:--help"


async def test_bash_keeps_its_folder_and_starts_over_when_it_is_gone(tools: Toolbox, sandbox: Sandbox):
    await use(tools, "bash", command="cd src")
    assert (await use(tools, "bash", command="pwd")).content.startswith(f"{sandbox.workdir}/src\n")
    await use(tools, "bash", command="mkdir deep && cd deep && rm -rf ../deep")
    seen = await use(tools, "bash", command="echo here")
    assert seen.content.startswith("here")
    assert seen.exit_code == 0


async def test_bash_is_killed_in_time(tools: Toolbox):
    seen = await use(tools, "bash", command="echo begun; sleep 60", timeout=0.5)
    assert seen.error == "timeout"
    assert seen.exit_code is None
    assert seen.content == "begun\n[killed after 0.5 s]"


async def test_a_flood_is_kept_in_part_and_counted_whole(tools: Toolbox):
    seen = await use(tools, "bash", command="head -c 30000000 /dev/zero | tr '\\0' a")
    assert seen.exit_code == 0
    assert seen.total_bytes == 30_000_000
    assert len(seen.content) < 5_000_000
    assert seen.shown is not None
    assert len(seen.shown) < 600
    assert "characters left out" in seen.shown


async def test_stderr_is_told_apart(tools: Toolbox):
    seen = await use(tools, "bash", command="echo out; echo err >&2; exit 4")
    assert seen.content == "out\n[stderr]\nerr\n[exit code 4]"
    assert seen.exit_code == 4
