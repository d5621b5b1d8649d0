"""The tasks that come with synth-bench."""

import difflib
from functools import cache
from importlib import resources
from pathlib import Path

from synthbench.tasks.errors import UnknownLibraryTask, problem
from synthbench.tasks.package import TaskPackage, load_package


def library_tasks() -> dict[str, Path]:
    """Folders of the built-in tasks, by id."""
    top = Path(str(resources.files("synthbench.tasks").joinpath("library")))
    return {folder.name: folder for folder in sorted(top.iterdir()) if (folder / "task.toml").is_file()}


@cache
def load_library_task(name: str) -> TaskPackage:
    """Read a built-in task.

    Raises:
        UnknownLibraryTask: there is none of this name; with the names that are close.
        TaskError: its package is broken.
    """
    known = library_tasks()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3) or list(known)
        raise UnknownLibraryTask(
            f"task {name!r}", [problem("", f"there is no such task; did you mean {', '.join(close)}?")]
        )
    return load_package(known[name])
