"""What can be wrong with a task, said in one line."""

from collections.abc import Sequence

from synthbench.contracts.records import FieldError


class TaskError(Exception):
    """A task package that cannot be used. `problems` names each file and key."""

    def __init__(self, where: str, problems: Sequence[FieldError]) -> None:
        self.where = where
        self.problems = list(problems)
        said = "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in self.problems)
        super().__init__(f"{where}: {said}")


class UnknownTask(TaskError):
    """There is no task of this name."""


class ArchiveRefused(TaskError):
    """An archive that may not be unpacked."""


def problem(field: str, message: str) -> FieldError:
    """Shorthand."""
    return FieldError(field=field, message=message)
