"""Errors of task packages, each one line for people."""

from collections.abc import Sequence

from synthbench.contracts.records import FieldError


class TaskError(Exception):
    """A task package that cannot be used. `problems` names each file and key."""

    def __init__(self, where: str, problems: Sequence[FieldError]) -> None:
        self.where = where
        self.problems = list(problems)
        described = "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in self.problems)
        super().__init__(f"{where}: {described}")


class UnknownLibraryTask(TaskError):
    """The library has no task of this name."""


class PackageArchiveRefused(TaskError):
    """The archive of a package may not be unpacked."""


def problem(field: str, message: str) -> FieldError:
    """Return what is wrong with a file or key of a package."""
    return FieldError(field=field, message=message)
