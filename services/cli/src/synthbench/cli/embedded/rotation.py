"""Rotation of logs by size, while their processes go on writing into them."""

import os
import shutil
from pathlib import Path

LOG_BYTES = 64 * 1024 * 1024
"""A log that is larger becomes the one before; with that, twice as much is kept of each process."""


def rotate_logs(folder: Path, most: int = LOG_BYTES) -> list[str]:
    """Move what large logs hold into `NAME.log.1`, and empty them; return their names.

    Processes hold their logs open for appending, so the file stays and what they write next begins at its start. What
    they write between the copy and the cut is copied, too, but for the last moment.
    """
    rotated: list[str] = []
    for log in sorted(folder.glob("*.log")):
        if log.stat().st_size <= most:
            continue
        before = log.with_suffix(".log.1")
        with log.open("r+b") as source, before.with_suffix(".tmp").open("wb") as target:
            shutil.copyfileobj(source, target)
            target.flush()
            shutil.copyfileobj(source, target)
            os.ftruncate(source.fileno(), 0)
        before.with_suffix(".tmp").replace(before)
        rotated.append(log.name)
    return rotated
