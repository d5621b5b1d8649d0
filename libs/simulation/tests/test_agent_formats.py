"""A policy's turns in the action format of every agent; what is said in a shell is run in one."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from synthbench.simulation.agent_formats import agent_format_of
from synthbench.simulation.agent_formats.shell import in_shell
from synthbench.simulation.attempt import PolicyTurn

READ = PolicyTurn("I read.", [("read_file", {"path": "a/b.py"})])
EDIT = PolicyTurn("I edit.", [("edit_file", {"path": "a/b.py", "old_text": "one", "new_text": "two"})])
RUN = PolicyTurn("I run.", [("bash", {"command": "make test"})])
WRITE = PolicyTurn("I write.", [("write_file", {"path": "new.txt", "content": "x"})])
SUBMIT = PolicyTurn("Done.", [("submit", {"summary": "All of it."})])
STOP = PolicyTurn("I give up.")
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
    assert agent_format_of(request_).name == name


def test_the_native_agent_gets_the_policys_turn_unchanged():
    agent_format = agent_format_of(NATIVE)
    assert agent_format.native_tools(NATIVE) == {"bash", "read_file", "submit"}
    assert agent_format.render(EDIT, NATIVE) == EDIT


@pytest.mark.parametrize(
    ("request_", "shell", "editor"), [(OPENHANDS, "terminal", "file_editor"), (SWE, "bash", "str_replace_editor")]
)
def test_functions(request_, shell, editor):
    render = agent_format_of(request_).render
    path = "/box/space/a/b.py"
    assert render(RUN, request_) == PolicyTurn("I run.", [(shell, {"command": "make test"})])
    assert render(READ, request_).calls == [(editor, {"command": "view", "path": path})]
    assert render(EDIT, request_).calls == [
        (editor, {"command": "str_replace", "path": path, "old_str": "one", "new_str": "two"})
    ]
    assert render(WRITE, request_).calls == [(shell, {"command": "printf %s x > new.txt"})]
    assert render(STOP, request_) == PolicyTurn("I give up.", [])


def test_each_hands_in_its_own_way():
    assert agent_format_of(OPENHANDS).render(SUBMIT, OPENHANDS).calls == [("finish", {"message": "All of it."})]
    assert agent_format_of(SWE).render(SUBMIT, SWE).calls == [("submit", {})]
    assert agent_format_of(MINI).render(SUBMIT, MINI).calls == [
        ("bash", {"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"})
    ]
    assert agent_format_of(BASH).render(SUBMIT, BASH) == PolicyTurn("Done. All of it.")
    assert agent_format_of(BASH).render(READ, BASH).calls == [("bash", {"command": "cat -n a/b.py"})]
    assert agent_format_of(SWE_TEXT).render(SUBMIT, SWE_TEXT) == PolicyTurn("DISCUSSION\nDone.\n\n```\nsubmit\n```")


def test_text_has_one_block_and_none_where_the_policy_stops():
    render = agent_format_of(SWE_TEXT).render
    assert render(RUN, SWE_TEXT) == PolicyTurn("DISCUSSION\nI run.\n\n```\nmake test\n```")
    assert render(STOP, SWE_TEXT) == STOP


@pytest.mark.parametrize("request_", [SWE_SHELL, asked(["terminal", "file_editor", "finish"], "No place is named.")])
def test_without_an_editor_or_a_place_everything_is_done_in_the_shell(request_):
    [(name, given)] = agent_format_of(request_).render(READ, request_).calls
    assert name in ("bash", "terminal")
    assert given == {"command": "cat -n a/b.py"}


def test_parts_of_a_message_are_read_too():
    parts = [{"type": "text", "text": "Mend it."}, {"type": "text", "text": "The workspace is `/w`."}]
    request = {**OPENHANDS, "messages": [{"role": "user", "content": parts}]}
    assert agent_format_of(request).render(READ, request).calls[0][1]["path"] == "/w/a/b.py"


def run(folder: Path, call: tuple[str, dict[str, Any]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", in_shell(call)], cwd=folder, capture_output=True, text=True, check=False)


def test_a_shell_command_does_what_the_native_tool_does(tmp_path: Path):
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
