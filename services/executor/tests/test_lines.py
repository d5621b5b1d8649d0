"""What a line is: the same for reading, editing, searching and taking back, whatever ends the file's lines."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthbench.contracts.records import RolloutLimits
from synthbench.contracts.steps import Observation, ToolCall
from synthbench.executor.domain.clock import Clock
from synthbench.executor.scaffolds.native.answers import ToolFailed
from synthbench.executor.scaffolds.native.edits import History, make_edit
from synthbench.executor.scaffolds.native.lines import TextFile, lines_of
from synthbench.executor.scaffolds.native.tools import Toolbox
from synthbench.sandbox.protocol import Sandbox

BOM = b"\xef\xbb\xbf"
# Characters that some notion of a line takes for its end, beside those that do end one.
BREAKS = ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x85", "\u2028", "\u2029", "a", "b", "é", " ")
TEXTS = st.lists(st.sampled_from(BREAKS), max_size=12).map("".join)
MARKS = st.sampled_from(("", "\ufeff"))


@pytest.fixture
async def use(sandbox: Sandbox) -> Callable[..., object]:
    tools = Toolbox(sandbox, Clock(RolloutLimits()), timeout=5, shown_bytes=4000)

    async def call(name: str, **arguments: object) -> Observation:
        return await tools.execute(ToolCall(id="c", name=name, arguments=json.dumps(arguments)))

    return call


@given(st.tuples(MARKS, TEXTS).map("".join))
def test_a_file_is_encoded_to_the_bytes_it_was_read_from(text: str):
    data = text.encode()
    file = TextFile.decoded(data)
    assert file.encoded() == data
    assert len(lines_of(file.text)) == data.count(b"\n") + (bool(file.text) and not data.endswith(b"\n"))


@given(st.tuples(MARKS, TEXTS).map("".join), st.data(), TEXTS)
def test_an_edit_changes_the_piece_alone_and_is_taken_back_to_the_byte(text: str, data: st.DataObject, new: str):
    file = TextFile.decoded(text.encode())
    start = data.draw(st.integers(0, len(file.text)))
    piece = file.text[start : start + data.draw(st.integers(1, 6))]
    if not piece:
        return
    try:
        edited, edit = make_edit("f", file, piece, new)
    except ToolFailed:
        return
    assert edited.text == file.text.replace(piece, file.shown(new))
    history = History("/work")
    arguments = json.dumps({"path": "f", "old_text": piece, "new_text": new})
    answer = f"replaced 1 piece in f, {edit.told}"
    history.take(ToolCall(id="c", name="edit_file", arguments=arguments), Observation(tool_call_id="c", content=answer))
    before = history.last("f").undone(TextFile.decoded(edited.encoded()))
    assert before is None or before.encoded() == text.encode()


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"one\r\ntwo\r\nthree\r\n", "one\ntwo", "1\n2", b"1\r\n2\r\nthree\r\n"),
        (b"one\r\ntwo\r\nthree\r\n", "one\r\ntwo", "1\n2", b"1\r\n2\r\nthree\r\n"),
        (b"one\r\ntwo\r\n", "two", "2\n3\n4", b"one\r\n2\r\n3\r\n4\r\n"),
        (b"one\r\ntwo", "two", "2\n3", b"one\r\n2\r\n3"),
        (b"one\ntwo\n", "one\r\ntwo", "1\r\n2\r\n3", b"1\n2\n3\n"),
        (b"one\ntwo", "two", "2", b"one\n2"),
        (b"x = 1", "x", "y\r\nx", b"y\r\nx = 1"),
        (BOM + b"x = 1\r\ny\r\n", "x = 1\ny", "x = 2\ny", BOM + b"x = 2\r\ny\r\n"),
        (BOM + b"x = 1\n", "\ufeffx", "\ufeffz", BOM + b"z = 1\n"),
        (b"a\r\nb\nc\r\nd\n", "a\nb\nc", "A\nB\nC", b"A\r\nB\nC\r\nd\n"),
        (b"a\x0cb\nc\x1dd\ng\rh\n", "d\ng\rh", "Z", b"a\x0cb\nc\x1dZ\n"),
    ],
    ids=repr,
)
async def test_an_edit_keeps_line_ends_mark_last_line_and_mode_and_is_taken_back(
    use: Callable, sandbox: Sandbox, before: bytes, old: str, new: str, after: bytes
):
    await sandbox.write("f.txt", before, mode=0o750)
    seen = await use("edit_file", path="f.txt", old_text=old, new_text=new)
    assert (seen.error, await sandbox.read("f.txt")) == (None, after)
    assert (await use("undo_edit", path="f.txt")).error is None
    assert await sandbox.read("f.txt") == before
    mode = await sandbox.run(["stat", "-c", "%a", "f.txt"], timeout=5)
    assert mode.stdout == b"750\n"


async def test_lines_have_the_number_that_sed_and_grep_give_them(use: Callable, sandbox: Sandbox):
    content = "a\x0cb\nc\x1dd\r\ne\u2028f\ng\rh\n\x85last"
    await sandbox.write("f.txt", content.encode())
    seen = await use("read_file", path="f.txt")
    assert [line.partition("\t")[0].strip() for line in seen.content.split("\n")] == ["1", "2", "3", "4", "5"]
    for number, line in enumerate(lines_of(content), 1):
        by_sed = await sandbox.run(["sed", "-n", f"{number}p", "f.txt"], timeout=5)
        assert by_sed.stdout.decode().removesuffix("\n").removesuffix("\r") == line
        read = await use("read_file", path="f.txt", start_line=number, end_line=number)
        assert read.content == f"{number:>5}\t{line}"
        found = await use("search", pattern=f"{line[-1]}$", path="f.txt")
        assert found.content == f"f.txt:{number}:{line}"
    edited = await use("edit_file", path="f.txt", old_text="g\rh", new_text="Z")
    assert edited.content.endswith("at line 4, column 1")


async def test_what_search_finds_in_a_marked_crlf_file_can_be_edited_as_it_is_shown(use: Callable, sandbox: Sandbox):
    await sandbox.write("f.txt", BOM + b"import os\r\nx = [$]\r\n")
    assert (await use("search", pattern="os$", path="f.txt")).content == "f.txt:1:import os"
    assert (await use("search", pattern=r"[$]\]$", path="f.txt")).content == "f.txt:2:x = [$]"
    assert (await use("search", pattern=r"\[\$", path="f.txt")).content == "f.txt:2:x = [$]"
    seen = await use("read_file", path="f.txt")
    assert seen.content == "    1\timport os\n    2\tx = [$]"


async def test_a_line_end_that_the_file_does_not_have_is_named(use: Callable, sandbox: Sandbox):
    await sandbox.write("f.txt", b"one\ntwo")
    seen = await use("edit_file", path="f.txt", old_text="two\n", new_text="2\n")
    assert (seen.error, "the last line of f.txt has none" in seen.content) == ("no_match", True)
