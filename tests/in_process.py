"""Commands of `synth-bench` in the process of a test: what a subprocess prints and returns, without the price of one.

For what a command does to a stack and says of it. What is about processes (signals, terminals, pipes that close, a
stack that a command starts for itself) stays a subprocess.
"""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence

from synthbench.cli.__main__ import main


def run_command(arguments: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command; its streams are files, so that it sees no terminal.

    The main thread alone can do this, and only where no event loop runs: a command brings its own, and takes signals.

    Args:
        arguments: what is typed after `synth-bench`.
        env: all of its environment; by default the present one.
    """
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="", errors="backslashreplace") as err,
    ):
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _environment(env):
            code = _exit_code(arguments)
        texts: list[str] = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
    return subprocess.CompletedProcess(list(arguments), code, *texts)


def _exit_code(arguments: Sequence[str]) -> int:
    try:
        main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    raise AssertionError("a command ends by SystemExit")


@contextlib.contextmanager
def _environment(env: Mapping[str, str] | None) -> Generator[None]:
    """Commands read their settings from the environment, and some write into it."""
    before = dict(os.environ)
    try:
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
