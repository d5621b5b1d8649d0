"""One way out of the record: every export format by its name, and the text of an export. Pure."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.atif_mapping import to_atif
from synthbench.datasets.formats.cleaning import valid_json
from synthbench.datasets.formats.messages import to_messages
from synthbench.datasets.formats.provenance import instance_of

EXPORTS: Mapping[str, Callable[[Trajectory], dict[str, Any]]] = {
    "json": Trajectory.to_dict,
    "atif": lambda trajectory: to_atif(trajectory).to_dict(),
    "messages": to_messages,
}
"""`json` is the whole record, `atif` is Harbor's ATIF v1.8, `messages` is a row of OpenAI messages with tools."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARACTERS = 80


def export_text(trajectory: Trajectory, form: str, *, indent: int | None = None) -> str:
    """One trajectory as JSON that every reader takes: UTF-8, finite numbers, a line break at its end.

    Args:
        trajectory: the record.
        form: a name in `EXPORTS`.
        indent: spaces a level; None for one line, as JSON lines want it.
    """
    value = EXPORTS[form](trajectory)
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
