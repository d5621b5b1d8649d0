"""The log file of each process of a stack: its name, its last lines, and its rotation by size."""

import os
import shutil
from pathlib import Path

from synthbench.embedded.datadir import DataDir

LOG_BYTES = 64 * 1024 * 1024
"""Size from which on a log is rotated; with the rotated one, up to twice as much is kept of each process."""
_TAIL_CHARACTERS = 600


def log_of(data: DataDir, process: str) -> Path:
    """Return the path of a process's log file."""
    return data.logs / f"{process}.log"


def tail(log: Path, lines: int = 3) -> str:
    """Return the last lines of a log as one line, for an error message; empty where it cannot be read."""
    try:
        text = log.read_text("utf-8", errors="replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.strip().splitlines()[-lines:])[-_TAIL_CHARACTERS:]


def rotate_logs(folder: Path, most: int = LOG_BYTES) -> list[str]:
    """Move the content of logs larger than `most` bytes into `NAME.log.1`, and empty them; return their names.

    Processes hold their logs open for appending, so the file stays and what they write next begins at its start. What
    they write between the copy and the cut is copied, too, but for the last moment.
    """
    rotated: list[str] = []
    for log in sorted(folder.glob("*.log")):
        if log.stat().st_size <= most:
            continue
        previous = log.with_suffix(".log.1")
        with log.open("r+b") as source, previous.with_suffix(".tmp").open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            shutil.copyfileobj(source, target)
            os.ftruncate(source.fileno(), 0)
        previous.with_suffix(".tmp").replace(previous)
        rotated.append(log.name)
    return rotated
