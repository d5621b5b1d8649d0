"""Task packages: instruction, environment, verifier, solution; the format, its loaders, the built-in library."""

from synthbench.tasks.errors import PackageArchiveRefused, TaskError, UnknownLibraryTask
from synthbench.tasks.library import library_tasks, load_library_task
from synthbench.tasks.limits import TaskLimits
from synthbench.tasks.package import TaskPackage, digest_of, load_package, pack, unpack
from synthbench.tasks.skeleton import init_package
from synthbench.tasks.wrong_solutions import Changes

__all__ = [
    "Changes",
    "PackageArchiveRefused",
    "TaskError",
    "TaskLimits",
    "TaskPackage",
    "UnknownLibraryTask",
    "digest_of",
    "init_package",
    "library_tasks",
    "load_library_task",
    "load_package",
    "pack",
    "unpack",
]
