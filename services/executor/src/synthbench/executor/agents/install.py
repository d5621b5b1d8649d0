"""Makes an agent's environment: a copy of a Python beside packages that are pinned with hashes."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from synthbench.executor.agents.environments import AgentEnvironment
from synthbench.executor.agents.interpreters import Interpreter, find_python

_SECONDS = 1800.0


class InstallFailed(Exception):
    """The environment could not be made, for the reason in the one line of the message."""


def install(environment: AgentEnvironment, root: Path, checkout: Path | None = None) -> Path:
    """Make an environment, or leave one that is installed already.

    Args:
        environment: the agent's.
        root: where environments lie.
        checkout: of the agent's repository, for one that has `source`; then it is made anew.

    Raises:
        InstallFailed: no checkout, a package cannot be had, the disk is full, or the copied Python does not run.
    """
    folder = environment.folder(root)
    if environment.installed(root) and checkout is None:
        return folder
    if bool(environment.source) != (checkout is not None):
        problem = "wants a checkout of its repository" if environment.source else "wants no checkout"
        raise InstallFailed(f"{environment.name} {problem} (--checkout)")
    try:
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        built = Path(tempfile.mkdtemp(prefix=f".{environment.name}-", dir=root))
        try:
            for name in environment.source:
                assert checkout is not None
                if not (checkout / name).is_dir():
                    raise InstallFailed(f"{checkout} is no checkout of {environment.name}: it has no {name}")
                shutil.copytree(checkout / name, built / "source" / name)
            _fill(environment, built)
            shutil.rmtree(folder, ignore_errors=True)
            built.rename(folder)
        finally:
            shutil.rmtree(built, ignore_errors=True)
    except OSError as error:
        raise InstallFailed(f"{folder}: {error.strerror or error}") from error
    return folder


def _fill(environment: AgentEnvironment, folder: Path) -> None:
    found = find_python(environment.python)
    if found is None:
        wanted = "{}.{}".format(*environment.python)
        raise InstallFailed(f"{environment.name} needs Python {wanted} or newer, and there is none on PATH or of pyenv")
    python = found.copy(folder / "python")
    lock = folder / "requirements.lock"
    lock.write_text(environment.lock)
    _run([*_installer(found), "--require-hashes", "--no-deps", "--target", str(folder / "site"), "-r", str(lock)])
    start = f"import sys; sys.path.insert(0, {str(folder / 'site')!r}); import {', '.join(environment.modules)}"
    with tempfile.TemporaryDirectory() as home:
        _run([str(python), "-I", "-S", "-c", start], HOME=home, LD_LIBRARY_PATH=str(folder / "python/lib"))
    _compile(python, folder)
    environment.seal(folder)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _compile(python: Path, folder: Path) -> None:
    """Compile all of it, as nobody can inside; what does not compile stays as it is."""
    env = {**os.environ, "LD_LIBRARY_PATH": str(folder / "python/lib")}
    words = [str(python), "-I", "-S", "-m", "compileall", "-q", "-j", "0", str(folder / "site")]
    subprocess.run(words, env=env, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own words


def _installer(python: Interpreter) -> Sequence[str]:
    """`uv` where there is one, else pip: the same options."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found:
        return [found, "pip", "install", "--quiet", "--link-mode", "copy", "--python", str(python.program)]
    return [str(python.program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]


def _run(command: Sequence[str], **more: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SYNTHBENCH_"))}
    # The machine's own certificates, as pip takes them: company networks have their own. And no prices are fetched: the
    # thread that does it gets in the way of imports.
    env = {"UV_SYSTEM_CERTS": "true", **env, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **more}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own words
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InstallFailed(f"{command[0]} ended with {done.returncode}: {lines[-1] if lines else 'it said nothing'}")
