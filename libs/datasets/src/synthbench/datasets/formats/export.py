"""Export formats by name, and the text of an exported trajectory.

A format is an entry point `synthbench.formats`, of this package or of any other that is installed.
"""

import json
import re
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.cleaning import valid_json
from synthbench.datasets.formats.provenance import instance_of

GROUP = "synthbench.formats"
RECORD = "json"
"""The format that is the whole record; the others are derived from it."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARACTERS = 80


class ExportFormat(Protocol):
    """A function that makes a JSON object of a trajectory; it must not change the trajectory."""

    def __call__(self, trajectory: Trajectory, /) -> dict[str, Any]:
        """Return the object: str keys, values as `json.dumps` takes them."""
        ...


class FormatUnavailable(Exception):
    """No format has this name, or its package cannot be imported; the message says which, in one line."""


def format_names() -> list[str]:
    """Names of the installed formats: the record first, then by name."""
    found = {entry.name for entry in entry_points(group=GROUP)}
    return sorted(found, key=lambda name: (name != RECORD, name))


@cache
def load_format(name: str) -> ExportFormat:
    """Return a format.

    Raises:
        FormatUnavailable: see there.
    """
    for entry in entry_points(group=GROUP, name=name):
        try:
            return entry.load()
        except Exception as error:
            where = entry.dist.name if entry.dist else entry.value
            raise FormatUnavailable(
                f"format {name} of the package {where} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
    raise FormatUnavailable(f"there is no format {name!r}; there are {', '.join(format_names())}")


def export_text(trajectory: Trajectory, form: str, *, indent: int | None = None) -> str:
    """One trajectory as JSON that every reader takes: UTF-8, finite numbers, a line break at its end.

    Args:
        trajectory: the record.
        form: name of a format.
        indent: spaces a level; None for one line, as JSON lines want it.

    Raises:
        FormatUnavailable: see there.
    """
    value = load_format(form)(trajectory)
    try:
        text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
        text.encode()
    except ValueError:  # a model sent NaN, or half of a surrogate pair
        text = json.dumps(valid_json(value), ensure_ascii=False, indent=indent, allow_nan=False)
    return text + "\n"


def file_name(trajectory: Trajectory, form: str) -> str:
    """A file's name that no other trajectory has: its task for people, its id, the format."""
    task = _UNSAFE.sub("_", instance_of(trajectory)).strip("._")[:_NAME_CHARACTERS]
    return f"{task}-{trajectory.trajectory_id}.{form}.json"
