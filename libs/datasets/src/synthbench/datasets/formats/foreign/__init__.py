"""Trajectories of others, as our record. Source: what each format's own writers make; see docs/import.md."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign.atif import read_atif
from synthbench.datasets.formats.foreign.building import Foreign, ForeignError, Source
from synthbench.datasets.formats.foreign.messages import read_messages
from synthbench.datasets.formats.foreign.mini import read_mini
from synthbench.datasets.formats.foreign.swe_agent import read_swe_agent

__all__ = ["FORMATS", "Foreign", "ForeignError", "Source", "detect", "load_json", "read"]

FORMATS: Mapping[str, Callable[[Any, Source], Foreign]] = {
    "mini-swe-agent": read_mini,
    "swe-agent": read_swe_agent,
    "atif": read_atif,
    "messages": read_messages,
}


def load_json(text: str | bytes) -> Any:
    """Parse a document.

    Raises:
        ForeignError: it is no JSON, in one line: cut off, binary, nested too deeply.
    """
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise ForeignError(f"it is no UTF-8 text: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
            raise ForeignError(f"it is cut off after {len(error.doc):,} characters: {error.msg}") from error
        raise ForeignError(f"it is no JSON: {error.msg} in line {error.lineno}") from error
    except RecursionError as error:
        raise ForeignError("it is nested too deeply") from error


def detect(document: Any) -> str:
    """Name the format of a parsed document.

    Raises:
        ForeignError: it is none of them.
    """
    found, first = as_object(document), as_object(next(iter(as_list(document)), None))
    if str(found.get("schema_version", "")).startswith("ATIF-"):
        return "atif"
    if isinstance(found.get("trajectory"), list) and "info" in found:
        return "swe-agent"
    if isinstance(found.get("messages"), list) and (
        "trajectory_format" in found or "exit_status" in as_object(found.get("info"))
    ):
        return "mini-swe-agent"
    if "messages" in found or "role" in first:
        return "messages"
    keys = ", ".join(list(found)[:6]) or type(document).__name__
    raise ForeignError(f"no format that is known ({', '.join(FORMATS)}): it has {keys}")


def read(document: Any, source: Source, form: str | None = None) -> tuple[Trajectory, str]:
    """Make a trajectory of a parsed document; return it and the name of its format.

    Raises:
        ForeignError: it is not of that format, or of no known one, in one line.
    """
    name = form or detect(document)
    try:
        return FORMATS[name](document, source).trajectory(source, name), name
    except RecursionError as error:
        raise ForeignError("it is nested too deeply") from error
