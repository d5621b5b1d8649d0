"""Lists files in folders that untrusted programs may have nested very deeply."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(top: Path) -> Iterator[Path]:
    """Yield all files (and whatever else is no folder) below a folder, in no order and without recursion.

    Links are not followed. What cannot be read, goes while we look, or has a path too long to be opened is passed over.
    """
    folders = [str(top)]
    while folders:
        found: list[str] = []
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    (folders if entry.is_dir(follow_symlinks=False) else found).append(entry.path)
        except OSError:
            pass  # what was found before it ended is told
        yield from map(Path, found)
