"""Task packages: instruction, environment, verifier, solution; the format, its loaders, the built-in library."""

from synthbench.tasks.errors import ArchiveRefused, TaskError, UnknownTask
from synthbench.tasks.library import library_tasks, load_library_task
from synthbench.tasks.limits import TaskLimits
from synthbench.tasks.package import Changes, TaskPackage, digest_of, load_package, pack, unpack
from synthbench.tasks.skeleton import init_package

__all__ = [
    "ArchiveRefused",
    "Changes",
    "TaskError",
    "TaskLimits",
    "TaskPackage",
    "UnknownTask",
    "digest_of",
    "init_package",
    "library_tasks",
    "load_library_task",
    "load_package",
    "pack",
    "unpack",
]
