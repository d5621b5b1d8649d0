"""Places for Unix sockets that sandboxes connect to."""

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def socket_place() -> Generator[Path]:
    """Name a socket that a sandbox with a uid of its own can reach; the folder goes with the context.

    Who binds it gives the socket mode 0666. The path is short: a socket's address holds 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="sb-"))
    try:
        folder.chmod(0o711)
        yield folder / "c.sock"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
