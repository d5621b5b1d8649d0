"""Environments of external agents: an interpreter that can be moved, and what is said where one cannot be made."""

import subprocess
import sys
from pathlib import Path

import pytest

from synthbench.executor.agents.__main__ import main
from synthbench.executor.agents.environments import AgentEnvironment
from synthbench.executor.agents.install import InstallFailed, install
from synthbench.executor.agents.interpreters import find_python


def test_a_copied_python_runs_where_it_is_moved_to(tmp_path: Path):
    found = find_python((3, 11))
    assert found is not None
    found.copy(tmp_path / "made")
    moved = (tmp_path / "made").rename(tmp_path / "moved")
    program = moved / "bin" / "python3"
    said = subprocess.run(
        [program, "-I", "-S", "-c", "import os, ssl, sqlite3, sys; print(os.__file__, sys.version_info[:2])"],
        env={"LD_LIBRARY_PATH": str(moved / "lib")}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.startswith(str(moved))
    assert str(found.version) in said


def test_this_python_is_taken_where_it_is_new_enough():
    found = find_python((3, 11))
    assert found is not None
    assert found.version == sys.version_info[:2]


def test_a_python_that_is_not_here_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    assert find_python((3, 90)) is None
    future = AgentEnvironment("openhands", (), (3, 90))
    with pytest.raises(InstallFailed, match=r"openhands needs Python 3\.90 or newer"):
        install(future, tmp_path / "agents")
    assert not list((tmp_path / "agents").iterdir())


def test_from_the_command_line_it_is_one_line(tmp_path: Path, capsys):
    assert main(["swe-agent", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "swe-agent wants a checkout of its repository (--checkout)\n"
    assert main(["no-such-agent", str(tmp_path)]) == 2
    assert "there are mini-swe-agent, openhands, swe-agent" in capsys.readouterr().err
