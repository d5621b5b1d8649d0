"""Places for Unix sockets that sandboxes connect to."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from synthbench.sandbox.tree.removal import remove_tree

_PREFIX = "sb-"


@contextmanager
def socket_place(folder: Path) -> Generator[Path]:
    """Name a socket below an engine's folder, so that it lies where the engine's sandboxes do.

    Who binds it gives the socket mode 0666. The path is a short one, through a link, because a socket's address holds
    107 bytes; it goes with the context.
    """
    real = Path(tempfile.mkdtemp(prefix="sockets-", dir=folder))
    real.chmod(0o711)
    link = Path(tempfile.gettempdir(), f"{_PREFIX}{real.name.removeprefix('sockets-')}")
    try:
        link.symlink_to(real)
        yield link / "c.sock"
    finally:
        link.unlink(missing_ok=True)
        remove_tree(real)


def tidy_links(root: Path) -> None:
    """Remove links of engines that were killed; their folders are gone by now."""
    for link in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if link.is_symlink() and not link.exists() and link.readlink().is_relative_to(root):
            link.unlink(missing_ok=True)
