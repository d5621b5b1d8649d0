"""The room on disk that the servers of a stack take."""

from pathlib import Path

from synthbench.embedded.datadir import DataDir
from synthbench.embedded.nats import RESERVED_BYTES
from synthbench.storage.walk import files_below

POSTGRES_BYTES = 768 * 1024 * 1024
"""A new cluster, its write-ahead log (512 MB at most), and some growth."""


def needed_bytes(data: DataDir) -> int:
    """Bytes that have to be free before a start: what the streams reserve and do not hold yet, and Postgres' own."""
    return max(0, RESERVED_BYTES - _size(data.sub("nats") / "jetstream")) + POSTGRES_BYTES


def require_room(data: DataDir) -> None:
    """Check that a stack has room to start.

    Raises:
        CliError: it has not.
    """
    needed = needed_bytes(data)
    streams = (needed - POSTGRES_BYTES) >> 20
    data.require_room(needed, f"{streams} MiB that the bus reserves, {POSTGRES_BYTES >> 20} MiB for Postgres")


def _size(folder: Path) -> int:
    """Bytes of the files below a folder of ours."""
    total = 0
    for path in files_below(folder):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue
    return total
