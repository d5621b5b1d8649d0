"""Pythons of this machine, and how one of them is copied to where it can be moved from."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip")
_ABOUT = (
    "import json, os, sys, sysconfig; print(json.dumps([list(sys.version_info[:2]), sysconfig.get_path('stdlib'),"
    " sysconfig.get_config_var('LIBDIR') or '', os.path.realpath(sys.executable)]))"
)
_NEWER = 3
"""Minor versions that are tried, from the oldest that will do."""


@dataclass(frozen=True)
class Interpreter:
    """A Python of this machine."""

    version: tuple[int, int]
    library: Path
    """The folder of its standard library."""
    shared: Path
    """The folder of its shared libraries, if it has any."""
    program: Path

    def copy(self, folder: Path) -> Path:
        """Copy it with its standard library, found again from where the program lies; return that."""
        name = "python{}.{}".format(*self.version)
        program = folder / "bin" / "python3"
        program.parent.mkdir(parents=True)
        shutil.copy2(self.program, program)
        ignored = shutil.ignore_patterns(*_LEFT_OUT, "config-*")
        shutil.copytree(self.library, folder / "lib" / name, ignore=ignored, ignore_dangling_symlinks=True)
        for shared in self.shared.glob(f"lib{name}*.so*"):
            shutil.copy2(shared, folder / "lib" / shared.name)
        return program


def find_python(least: tuple[int, int]) -> Interpreter | None:
    """The oldest interpreter on this machine that is new enough: this one, one on PATH, or one of pyenv's."""
    for candidate in _candidates(least):
        about = _about(candidate)
        if about and about.version >= least:
            return about
    return None


def _candidates(least: tuple[int, int]) -> Iterator[str]:
    yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    for minor in range(least[1], least[1] + _NEWER):
        yield f"python{least[0]}.{minor}"
        yield from map(str, sorted(pyenv.glob(f"{least[0]}.{minor}.*/bin/python3")))


def _about(python: str) -> Interpreter | None:
    try:
        done = subprocess.run([python, "-I", "-c", _ABOUT], capture_output=True, check=True, timeout=30)  # noqa: S603 - our own words
    except (OSError, subprocess.SubprocessError):
        return None
    version, library, shared, program = json.loads(done.stdout)
    return Interpreter((version[0], version[1]), Path(library), Path(shared), Path(program))
