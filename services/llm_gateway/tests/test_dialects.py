"""A policy's turns in the action format of every agent; what is said in a shell is run in one."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from synthbench.llm_gateway.sims import Turn
from synthbench.llm_gateway.sims.dialects import dialect_of
from synthbench.llm_gateway.sims.dialects.shell import in_shell

READ = Turn("I read.", [("read_file", {"path": "a/b.py"})])
EDIT = Turn("I edit.", [("edit_file", {"path": "a/b.py", "old_text": "one", "new_text": "two"})])
RUN = Turn("I run.", [("bash", {"command": "make test"})])
WRITE = Turn("I write.", [("write_file", {"path": "new.txt", "content": "x"})])
SUBMIT = Turn("Done.", [("submit", {"summary": "All of it."})])
STOP = Turn("I give up.")
PLACE = "Mend it.\n\nThe workspace is /box/space."


def asked(tools: list[str], *said: str) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": text} for text in said],
        "tools": [{"type": "function", "function": {"name": name}} for name in tools],
    }


NATIVE = asked(["bash", "read_file", "submit"], PLACE)
OPENHANDS = asked(["terminal", "file_editor", "finish", "think"], PLACE)
SWE = asked(["bash", "str_replace_editor", "submit"], PLACE)
SWE_SHELL = asked(["bash", "submit"], PLACE)
BASH = asked(["bash"], PLACE)
MINI = asked(["bash"], "Finish with `echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT`.", PLACE)
SWE_TEXT = asked([], "Answer with a DISCUSSION and one command:\n```\nls\n```", PLACE)


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (NATIVE, "native"),
        (OPENHANDS, "openhands"),
        (SWE, "swe-agent"),
        (SWE_SHELL, "swe-agent"),
        (SWE_TEXT, "swe-agent-text"),
        (BASH, "bash-only"),
        (MINI, "bash-only"),
        (asked([], "Hello"), "native"),
    ],
)
def test_every_agent_is_known_by_what_it_asks(request_, name):
    assert dialect_of(request_).name == name


def test_the_native_agent_hears_the_policy_itself():
    dialect = dialect_of(NATIVE)
    assert dialect.tools(NATIVE) == {"bash", "read_file", "submit"}
    assert dialect.say(EDIT, NATIVE) == EDIT


@pytest.mark.parametrize(
    ("request_", "shell", "editor"), [(OPENHANDS, "terminal", "file_editor"), (SWE, "bash", "str_replace_editor")]
)
def test_functions(request_, shell, editor):
    say = dialect_of(request_).say
    path = "/box/space/a/b.py"
    assert say(RUN, request_) == Turn("I run.", [(shell, {"command": "make test"})])
    assert say(READ, request_).calls == [(editor, {"command": "view", "path": path})]
    assert say(EDIT, request_).calls == [
        (editor, {"command": "str_replace", "path": path, "old_str": "one", "new_str": "two"})
    ]
    assert say(WRITE, request_).calls == [(shell, {"command": "printf %s x > new.txt"})]
    assert say(STOP, request_) == Turn("I give up.", [])


def test_each_hands_in_its_own_way():
    assert dialect_of(OPENHANDS).say(SUBMIT, OPENHANDS).calls == [("finish", {"message": "All of it."})]
    assert dialect_of(SWE).say(SUBMIT, SWE).calls == [("submit", {})]
    assert dialect_of(MINI).say(SUBMIT, MINI).calls == [
        ("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"})
    ]
    assert dialect_of(BASH).say(SUBMIT, BASH) == Turn("Done. All of it.")
    assert dialect_of(BASH).say(READ, BASH).calls == [("bash", {"command": "cat -n a/b.py"})]
    assert dialect_of(SWE_TEXT).say(SUBMIT, SWE_TEXT) == Turn("DISCUSSION\nDone.\n\n```\nsubmit\n```")


def test_text_has_one_block_and_none_where_the_policy_stops():
    say = dialect_of(SWE_TEXT).say
    assert say(RUN, SWE_TEXT) == Turn("DISCUSSION\nI run.\n\n```\nmake test\n```")
    assert say(STOP, SWE_TEXT) == STOP


@pytest.mark.parametrize("request_", [SWE_SHELL, asked(["terminal", "file_editor", "finish"], "No place is named.")])
def test_without_an_editor_or_a_place_everything_is_done_in_the_shell(request_):
    [(name, given)] = dialect_of(request_).say(READ, request_).calls
    assert name in ("bash", "terminal")
    assert given == {"command": "cat -n a/b.py"}


def test_parts_of_a_message_are_read_too():
    parts = [{"type": "text", "text": "Mend it."}, {"type": "text", "text": "The workspace is `/w`."}]
    request = {**OPENHANDS, "messages": [{"role": "user", "content": parts}]}
    assert dialect_of(request).say(READ, request).calls[0][1]["path"] == "/w/a/b.py"


def run(folder: Path, call: tuple[str, dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", in_shell(call)], cwd=folder, capture_output=True, text=True, check=False)


def test_what_is_said_in_a_shell_does_what_the_tool_does(tmp_path: Path):
    content = 'it\'s "one"\n$HOME `x` \\ %s\nno newline at the end'
    assert run(tmp_path, ("write_file", {"path": "a/b c.py", "content": content})).returncode == 0
    assert (tmp_path / "a" / "b c.py").read_text() == content
    edit = {"path": "a/b c.py", "old_text": '"one"\n$HOME', "new_text": "'two'"}
    assert run(tmp_path, ("edit_file", edit)).returncode == 0
    assert (tmp_path / "a" / "b c.py").read_text() == content.replace('"one"\n$HOME', "'two'")
    again = run(tmp_path, ("edit_file", edit))
    assert again.returncode == 1
    assert "0 times" in again.stderr
    assert "two" in run(tmp_path, ("read_file", {"path": "a/b c.py"})).stdout
    assert "b c.py:1:" in run(tmp_path, ("search", {"pattern": r"\btwo\b"})).stdout
