"""Makes an agent's environment: a copy of this Python beside packages that are pinned with hashes."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from synthbench.executor.agents.environments import AgentEnvironment

_LEFT_OUT = ("site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip")
_SECONDS = 1800.0


class InstallFailed(Exception):
    """It could not be made; one line says why."""


def install(environment: AgentEnvironment, root: Path) -> Path:
    """Make an environment, or leave the one that is there and as it should be.

    Raises:
        InstallFailed: a package cannot be had, the disk is full, or the copied interpreter does not run.
    """
    folder = environment.folder(root)
    if environment.installed(root):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        made = Path(tempfile.mkdtemp(prefix=f".{environment.name}-", dir=root))
        try:
            _fill(environment, made)
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise InstallFailed(f"{folder}: {error.strerror or error}") from error
    return folder


def _fill(environment: AgentEnvironment, folder: Path) -> None:
    python = _copy_python(folder / "python")
    lock = folder / "requirements.lock"
    lock.write_text(environment.lock)
    _run([*_installer(), "--require-hashes", "--no-deps", "--target", str(folder / "site"), "-r", str(lock)])
    start = f"import sys; sys.path.insert(0, {str(folder / 'site')!r}); import {', '.join(environment.modules)}"
    with tempfile.TemporaryDirectory() as home:
        _run([str(python), "-I", "-S", "-c", start], HOME=home, LD_LIBRARY_PATH=str(folder / "python/lib"))
    environment.seal(folder)
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def _copy_python(folder: Path) -> Path:
    """Copy the interpreter and its standard library, as they are found again from where the program lies."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    program = folder / "bin" / "python3"
    program.parent.mkdir(parents=True)
    shutil.copy2(Path(sys.base_prefix, "bin", version), program)
    library = Path(os.__file__).parent
    ignored = shutil.ignore_patterns(*_LEFT_OUT, "config-*")
    shutil.copytree(library, folder / "lib" / version, symlinks=False, ignore=ignored, ignore_dangling_symlinks=True)
    for shared in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy2(shared, folder / "lib" / shared.name)
    return program


def _installer() -> Sequence[str]:
    """`uv` where there is one, else pip: the same options."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found:
        return [found, "pip", "install", "--quiet", "--link-mode", "copy", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]


def _run(command: Sequence[str], **more: str) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SYNTHBENCH_"))}
    # The machine's own certificates, as pip takes them: company networks have their own. And no prices are fetched: the
    # thread that does it gets in the way of imports.
    env = {"UV_SYSTEM_CERTS": "true", **env, "LITELLM_LOCAL_MODEL_COST_MAP": "True", **more}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own words
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise InstallFailed(f"{command[0]} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}")
