"""Reads trajectories in other formats as records. Source: each format's own writers; see docs/import.md."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from synthbench.contracts.ids import canonical_json, sha256_digest
from synthbench.contracts.loose import as_list, as_object
from synthbench.contracts.trajectory import SCHEMA, Trajectory
from synthbench.datasets.formats.cleaning import finite
from synthbench.datasets.formats.foreign.atif import read_atif
from synthbench.datasets.formats.foreign.building import (
    ForeignDocument,
    ForeignError,
    ForeignTrajectory,
    Source,
    imported_rollout_id,
)
from synthbench.datasets.formats.foreign.messages import read_messages
from synthbench.datasets.formats.foreign.mini import read_mini
from synthbench.datasets.formats.foreign.own import read_record
from synthbench.datasets.formats.foreign.swe_agent import read_swe_agent

__all__ = [
    "FORMATS",
    "ForeignError",
    "ForeignTrajectory",
    "Source",
    "detect",
    "digest_of",
    "imported_rollout_id",
    "load_json",
    "read",
]

FORMATS: Mapping[str, Callable[[Any, Source], ForeignDocument]] = {
    "mini-swe-agent": read_mini,
    "swe-agent": read_swe_agent,
    "atif": read_atif,
    "messages": read_messages,
    "json": read_record,
}
_SESSION_KEYS = {"sessionId", "parentUuid", "message"}


def load_json(text: str | bytes) -> Any:
    """Parse a document.

    Raises:
        ForeignError: it is no JSON, in one line: cut off, binary, nested too deeply, with an endless number.
    """
    try:
        return json.loads(text)
    except UnicodeDecodeError as error:
        raise ForeignError(f"it is no UTF-8 text: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        if error.pos >= len(error.doc.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
            raise ForeignError(f"it is cut off after {len(error.doc):,} characters: {error.msg}") from error
        raise ForeignError(f"it is no JSON: {error.msg} in line {error.lineno}") from error
    except ValueError as error:  # a number of thousands of digits
        raise ForeignError(f"it is no JSON that can be read: {str(error).partition(';')[0]}") from error
    except RecursionError as error:
        raise ForeignError("it is nested too deeply") from error


def digest_of(document: Any) -> str:
    """Digest of a parsed document, the same however its file is laid out.

    Raises:
        ForeignError: it is nested too deeply.
    """
    try:
        return sha256_digest(canonical_json(document))
    except RecursionError as error:
        raise ForeignError("it is nested too deeply") from error


def detect(document: Any) -> str:
    """Name the format of a parsed document.

    Raises:
        ForeignError: it is in no known format.
    """
    found, first = as_object(document), as_object(next(iter(as_list(document)), None))
    version = str(found.get("schema_version", ""))
    if version.startswith("ATIF-"):
        return "atif"
    if version == SCHEMA:
        return "json"
    if isinstance(found.get("trajectory"), list) and "info" in found:
        return "swe-agent"
    if isinstance(found.get("messages"), list) and (
        "trajectory_format" in found or "exit_status" in as_object(found.get("info"))
    ):
        return "mini-swe-agent"
    if "messages" in found or "role" in first:
        return "messages"
    if found.keys() >= _SESSION_KEYS:
        raise ForeignError("it is a line of a session of Claude Code, which is not read")
    keys = ", ".join(list(found)[:6]) or type(document).__name__
    raise ForeignError(f"no format that is known ({', '.join(FORMATS)}): it has {keys}")


def read(document: Any, source: Source, form: str | None = None) -> tuple[Trajectory, str]:
    """Make a trajectory of a parsed document; return it and the name of its format.

    Raises:
        ForeignError: it is not of that format, or of no known one, in one line.
    """
    name = form or detect(document)
    try:
        cleaned, replaced = finite(document)
        found = FORMATS[name](cleaned, source)
        found.left_out += Counter(replaced)
        return found.trajectory(source, name), name
    except RecursionError as error:
        raise ForeignError("it is nested too deeply") from error
