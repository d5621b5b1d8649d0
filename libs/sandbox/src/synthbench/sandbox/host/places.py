"""The folders of one sandbox on the host.

`<root>/<id>/` holds `workspace`, `tmp` and `home`, which belong to the sandbox's uid, and `side`, which only we can
enter. `owner` says who it was made for, `engine` by whom. Another sandbox's uid cannot enter any of it.
"""

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthbench.sandbox.errors import SandboxError


@dataclass(frozen=True)
class Places:
    """Where things lie."""

    top: Path

    @property
    def workspace(self) -> Path:
        """What the agent works on."""
        return self.top / "workspace"

    @property
    def tmp(self) -> Path:
        """Its /tmp."""
        return self.top / "tmp"

    @property
    def home(self) -> Path:
        """Its home."""
        return self.top / "home"

    @property
    def side(self) -> Path:
        """Ours: old texts, for patches."""
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


def make_places(root: Path, name: str, owner: str, uid: int | None, engine: str) -> Places:
    """Make the folders of one sandbox.

    Raises:
        SandboxError: the disk is full, or the folder cannot be written.
    """
    places = Places(root / name)
    try:
        places.top.mkdir(mode=0o700)
        (places.top / "owner").write_text(owner)
        (places.top / "engine").write_text(engine)
        places.side.mkdir(mode=0o700)
        for folder in (places.workspace, places.tmp, places.home):
            folder.mkdir(mode=0o700)
            if uid is not None:
                os.chown(folder, uid, uid)
        if uid is not None:
            os.chown(places.top, 0, uid)
            places.top.chmod(0o710)
    except OSError as error:
        remove(places.top)
        raise SandboxError(
            f"no sandbox can be made under {root} ({error.strerror})", "free some space, or check its owner"
        ) from error
    return places


async def new_places(root: Path, name: str, owner: str, uid: int | None, engine: str) -> Places:
    """`make_places` off the event loop; nothing stays of them where that is cancelled.

    Raises:
        SandboxError: as above.
    """
    making = asyncio.ensure_future(asyncio.to_thread(make_places, root, name, owner, uid, engine))
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


def remove(folder: Path) -> None:
    """Remove a tree whose owner may have taken our rights from its folders."""

    def again(function: Callable[..., Any], name: str, _error: Any) -> None:
        path = Path(name)
        with contextlib.suppress(OSError):
            if folder in path.parents:
                path.parent.chmod(0o700)
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                function(name)

    if folder.is_dir():
        shutil.rmtree(folder, onerror=again)
