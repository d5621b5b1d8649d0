"""The folders of one sandbox on the host.

`<root>/<id>/` holds `workspace`, `tmp` and `home`, which belong to the sandbox's uid, and `side`, which only we can
enter. `owner` says who it was made for, `engine` by whom. Another sandbox's uid cannot enter any of it.
"""

import asyncio
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

import structlog

from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.metrics import UNREMOVED
from synthbench.sandbox.tree.removal import remove_tree

REMOVED_PREFIX = ".removed-"
CLOSE_SECONDS = 10.0
"""Seconds that the end of a sandbox may wait until its files are gone; the reaper does the rest."""


@dataclass(frozen=True)
class SandboxFolders:
    """The folders of one sandbox on the host."""

    top: Path

    @property
    def workspace(self) -> Path:
        """The workspace, which the agent works on."""
        return self.top / "workspace"

    @property
    def tmp(self) -> Path:
        """The /tmp of the sandbox."""
        return self.top / "tmp"

    @property
    def home(self) -> Path:
        """The home folder of the sandbox's user."""
        return self.top / "home"

    @property
    def side(self) -> Path:
        """A folder that only we can enter, with old texts for patches."""
        return self.top / "side"


def make_root(root: Path) -> None:
    """Make a folder that holds sandboxes, which others may enter but not list.

    Raises:
        SandboxError: it cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o711)
    except OSError as error:
        raise SandboxError(
            f"the sandbox folder {root} cannot be used ({error.strerror})",
            "set SYNTHBENCH_SANDBOX_ROOT to a writable one",
        ) from error


def make_folders(root: Path, name: str, owner: str, uid: int | None, engine: str) -> SandboxFolders:
    """Make the folders of one sandbox.

    Raises:
        SandboxError: the disk is full, or the folder cannot be written.
    """
    folders = SandboxFolders(root / name)
    try:
        folders.top.mkdir(mode=0o700)
        (folders.top / "owner").write_text(owner)
        (folders.top / "engine").write_text(engine)
        folders.side.mkdir(mode=0o700)
        for folder in (folders.workspace, folders.tmp, folders.home):
            folder.mkdir(mode=0o700)
            if uid is not None:
                os.chown(folder, uid, uid)
        if uid is not None:
            os.chown(folders.top, 0, uid)
            folders.top.chmod(0o710)
    except OSError as error:
        remove(folders.top)
        raise SandboxError(
            f"no sandbox can be made under {root} ({error.strerror})", "free some space, or check its owner"
        ) from error
    return folders


async def make_folders_in_thread(root: Path, name: str, owner: str, uid: int | None, engine: str) -> SandboxFolders:
    """`make_folders` off the event loop; nothing stays of them where that is cancelled.

    Raises:
        SandboxError: as above.
    """
    making = asyncio.ensure_future(asyncio.to_thread(make_folders, root, name, owner, uid, engine))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        await asyncio.wait([making])
        if making.exception() is None:
            remove(making.result().top)
        raise


def reachable(path: Path) -> bool:
    """Whether any user may enter the folders above `path`, and read it."""
    try:
        real = path.resolve(strict=True)
        return all(part.stat().st_mode & stat.S_IXOTH for part in (real, *real.parents))
    except OSError:
        return False


def remove(folder: Path, *, seconds: float = CLOSE_SECONDS) -> bool:
    """Remove the folder of a sandbox or of an engine: by one rename, whatever it holds; then its content.

    Never raises. What does not go within `seconds` stays as `.removed-…` beside it, where the reaper goes on with it.

    Returns:
        Whether nothing of it is left.
    """
    try:
        folder.chmod(0o700)  # its files may belong to a uid that another sandbox gets next
        grave = folder.with_name(f"{REMOVED_PREFIX}{secrets.token_hex(8)}")
        folder.rename(grave)
    except FileNotFoundError:
        return True
    except OSError:
        grave = folder
    return empty_removed(grave, seconds=seconds)


def empty_removed(grave: Path, *, seconds: float) -> bool:
    """Go on with a folder that was removed; whether nothing of it is left."""
    gone = remove_tree(grave, seconds=seconds)
    if not gone:
        UNREMOVED.inc()
        structlog.get_logger("synthbench.sandbox").warning(
            "a removed sandbox is not empty yet; the reaper goes on with it", folder=str(grave)
        )
    return gone
