"""The tools, in a real sandbox."""

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime

import pytest

from synthbench.contracts.records import RolloutLimits, Timing, Usage
from synthbench.contracts.steps import Action, Observation, State, Step, ToolCall
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
        ("read_file", {"path": "src/a.py", "start_line": 3, "end_line": 2}, "bad_arguments", "is before start_line 3"),
        (
            "edit_file",
            {"path": "src/a.py", "old_text": "x = 1", "new_text": ""},
            "no_match",
            "2 times in src/a.py, at lines 1, 3",
        ),
        ("edit_file", {"path": "src/a.py", "old_text": "zz", "new_text": ""}, "no_match", "is not in src/a.py; read"),
        ("edit_file", {"path": "src/a.py", "old_text": "y  = 2", "new_text": ""}, "no_match", "    2\ty = 2"),
        ("undo_edit", {"path": "src/a.py"}, "no_edit", "no edit of src/a.py"),
        ("search", {"pattern": "x", "path": "nowhere"}, "failed", "there is no file or folder ./nowhere"),
        ("search", {"pattern": "x", "context": 99}, "bad_arguments", "context"),
        ("search", {"pattern": "("}, "failed", "the search failed"),
    ],
)
async def test_mistakes_are_told_to_the_agent(tools: Toolbox, name: str, arguments: dict, error: str, said: str):
    seen = await use(tools, name, **arguments)
    assert (seen.error, said in seen.content) == (error, True)
    assert "Traceback" not in seen.content


async def test_lone_surrogates_in_arguments_are_no_mistake(tools: Toolbox, sandbox: Sandbox):
    call = ToolCall(id="c", name="write_file", arguments='{"path": "half", "content": "\\uD83D and \\ud83d\\ude00"}')
    assert (await tools.execute(call)).error is None
    assert (await sandbox.read("half")).decode() == "\U0010d83d and \U0001f600"
    seen = await tools.execute(ToolCall(id="c", name="submit", arguments='{"summary": "a\\ud800b"}'))
    assert (seen.error, tools.submitted) == (None, "a\U0010d800b")


async def test_edit_file_changes_one_place(tools: Toolbox, sandbox: Sandbox):
    seen = await use(tools, "edit_file", path="src/a.py", old_text="y = 2\nx", new_text="y = 3\nx")
    assert seen.content == "replaced 1 piece in src/a.py, at line 2, column 1"
    assert await sandbox.read("src/a.py") == b"x = 1\ny = 3\nx = 1\n"


async def test_edits_are_taken_back_one_after_the_other(tools: Toolbox, sandbox: Sandbox):
    before = await sandbox.read("src/a.py")
    await use(tools, "edit_file", path="src/a.py", old_text="y = 2", new_text="")
    await use(tools, "edit_file", path="./src/../src/a.py", old_text="x = 1\n\n", new_text="é = 1\n\n")
    seen = await use(tools, "undo_edit", path=f"{sandbox.workdir}/src/a.py")
    assert (seen.error, seen.content.endswith("at line 1, column 1")) == (None, True)
    await use(tools, "undo_edit", path="src/a.py")
    assert await sandbox.read("src/a.py") == before
    assert (await use(tools, "undo_edit", path="src/a.py")).error == "no_edit"


async def test_an_edit_is_not_taken_back_over_a_change_in_its_place(tools: Toolbox, sandbox: Sandbox):
    await use(tools, "edit_file", path="src/a.py", old_text="y = 2", new_text="y = 3")
    await use(tools, "bash", command="sed -i 's/y = 3/y = 4/' src/a.py")
    seen = await use(tools, "undo_edit", path="src/a.py")
    assert (seen.error, seen.content) == (
        "no_match", "src/a.py was changed at line 2, column 1 since; edit it by hand"
    )  # fmt: skip
    assert b"y = 4" in await sandbox.read("src/a.py")
    await use(tools, "write_file", path="src/a.py", content="y = 3\n")
    assert (await use(tools, "undo_edit", path="src/a.py")).error == "no_edit"


async def test_edits_of_recorded_steps_can_be_taken_back(tools: Toolbox, sandbox: Sandbox):
    calls = [
        ToolCall(id="c", name=name, arguments=json.dumps({"path": "src/a.py", **more}))
        for name, more in (
            ("edit_file", {"old_text": "y = 2", "new_text": "y = 3"}),
            ("edit_file", {"old_text": "y = 3", "new_text": "y = 4"}),
            ("edit_file", {"old_text": "never", "new_text": "y = 5"}),
            ("undo_edit", {}),
        )
    ]
    now = datetime.now(UTC)
    steps = [
        Step(
            started_at=now, finished_at=now, action=Action(tool_calls=[call]),
            observations=[await tools.execute(call)], state=State(cwd=f"{sandbox.workdir}/src"),
        )
        for call in calls
    ]  # fmt: skip
    again = Toolbox(sandbox, Clock(RolloutLimits()), timeout=2, shown_bytes=400)
    again.resume(tuple(steps))
    assert again.cwd == f"{sandbox.workdir}/src"
    assert (await use(again, "undo_edit", path="src/a.py")).error is None
    assert await sandbox.read("src/a.py") == b"x = 1\ny = 2\nx = 1\n"


async def test_search(tools: Toolbox):
    assert (await use(tools, "search", pattern="^y", path="src")).content == "src/a.py:2:y = 2"
    assert (await use(tools, "search", pattern="never")).content == "no match"
    # A file name that looks like an option, and a pattern that looks like one, stay what they are.
    await use(tools, "write_file", path="-v", content="--help\n")
    assert (await use(tools, "search", pattern="--help", path="-v")).content == "-v:1:--help"


@pytest.fixture
async def tree(tools: Toolbox, sandbox: Sandbox) -> Toolbox:
    files = {
        ".gitignore": "*.log\n/build/\n", "src/.ignore": "made.py\n", "src/deep/.gitignore": "!kept.log\n",
        "a.log": "", "src/deep/kept.log": "", "build/x.py": "", "src/build/y.py": "", "src/made.py": "",
        ".hidden/z.py": "", "src/.dot.py": "", "doc.md": "",
    }  # fmt: skip
    for path, text in files.items():
        await sandbox.write(path, text.encode() or b"first\nneedle 42\nlast\n")
    await use(tools, "bash", command="printf 'needle\\0' > image.py; ln -s ../doc.md src/link.md")
    return tools


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, ["doc.md", "src/build/y.py", "src/deep/kept.log"]),
        ({"path": "src"}, ["src/build/y.py", "src/deep/kept.log"]),
        ({"path": "src/made.py"}, ["src/made.py"]),
        ({"path": "a.log"}, ["a.log"]),
        ({"path": ".hidden"}, [".hidden/z.py"]),
        ({"glob": "*.py"}, ["src/build/y.py"]),
        ({"glob": "!*.py"}, ["doc.md", "src/deep/kept.log"]),
        ({"glob": "src/**"}, ["src/build/y.py", "src/deep/kept.log"]),
        ({"pattern": r"^NEEDLE \d+$", "ignore_case": True, "glob": "*.md"}, ["doc.md"]),
        ({"pattern": r"NEEDLE"}, []),
        ({"glob": "*.rs"}, []),
    ],
    ids=str,
)
async def test_search_leaves_out_what_ripgrep_does(tree: Toolbox, arguments: dict, found: list[str]):
    seen = await use(tree, "search", **{"pattern": "needle", **arguments})
    assert seen.error is None
    lines = [] if seen.content.startswith("no match") else seen.content.splitlines()
    assert lines == [f"{path}:2:needle 42" for path in found]


async def test_search_shows_lines_around_and_the_first_of_many(tree: Toolbox, sandbox: Sandbox):
    seen = await use(tree, "search", pattern="needle", path="doc.md", context=1)
    assert seen.content == "doc.md-1-first\ndoc.md:2:needle 42\ndoc.md-3-last"
    await sandbox.write("many.txt", b"needle\n" * 1000 + b"z" * 2000)
    seen = await use(tree, "search", pattern="needle", path="many.txt")
    assert len(seen.content.splitlines()) == 401
    assert seen.content.endswith("[only the first 400 lines; narrow the search]")
    assert len((await use(tree, "search", pattern="zzz", path="many.txt")).content) <= 400


async def test_a_search_says_what_it_could_not_read(tree: Toolbox):
    await use(tree, "bash", command="chmod 000 doc.md; mkfifo pipe")
    seen = await use(tree, "search", pattern="needle", path="doc.md")
    assert (seen.error, "Permission denied" in seen.content) == ("failed", True)
    seen = await use(tree, "search", pattern="needle", path="pipe")
    assert (seen.error, "no file or folder ./pipe" in seen.content) == ("failed", True)


async def test_a_search_that_takes_too_long_is_ended(sandbox: Sandbox):
    await sandbox.write("a.txt", b"x" * 100)
    spent = Clock(RolloutLimits(max_seconds=0.001))
    tools = Toolbox(sandbox, spent, timeout=2, shown_bytes=400)
    spent.add(Usage(), Timing(tool_seconds=1.0))
    await use(tools, "bash", command="true")
    seen = await use(tools, "search", pattern="x", path="/")
    assert (seen.error, seen.content) == ("timeout", "the search took too long; search a smaller folder")


@pytest.fixture
async def shell(sandbox: Sandbox) -> AsyncGenerator[Toolbox]:
    made = Toolbox(sandbox, Clock(RolloutLimits()), timeout=2, shown_bytes=400, shell="persistent")
    yield made
    await made.close()


async def test_a_shell_that_stays_keeps_variables_functions_and_its_folder(shell: Toolbox, sandbox: Sandbox):
    await use(shell, "bash", command='mkdir d; cd d; X=5; f() { echo "f $1"; }')
    assert shell.cwd == f"{sandbox.workdir}/d"
    seen = await use(shell, "bash", command="f $X; pwd")
    assert seen.content == f"f 5\n{sandbox.workdir}/d\n[exit code 0]"


async def test_a_shell_that_ends_is_replaced_and_the_agent_is_told(shell: Toolbox, sandbox: Sandbox):
    await use(shell, "bash", command="mkdir d; cd d; X=5")
    seen = await use(shell, "bash", command="exit 3")
    assert seen.exit_code == 3
    assert (
        seen.content
        == "[exit code 3]\n[the shell ended; a new one begins in the same folder, without variables and jobs]"
    )
    assert (await use(shell, "bash", command="echo .$X; pwd")).content.startswith(f".\n{sandbox.workdir}/d\n")


async def test_a_command_in_a_shell_that_stays_is_killed_in_time(shell: Toolbox):
    await use(shell, "bash", command="X=5")
    seen = await use(shell, "bash", command="echo begun; sleep 60", timeout=0.5)
    assert seen.error == "timeout"
    assert seen.content.startswith("begun\n")
    assert seen.content.endswith("[killed after 0.5 s]")
    assert (await use(shell, "bash", command="echo .$X")).content.startswith(".5")


async def test_a_shell_begins_at_the_top_where_its_folder_is_gone(shell: Toolbox, sandbox: Sandbox):
    now = datetime.now(UTC)
    shell.resume((Step(started_at=now, finished_at=now, state=State(cwd=f"{sandbox.workdir}/gone")),))
    assert (await use(shell, "bash", command="pwd")).content.startswith(f"{sandbox.workdir}\n")


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
