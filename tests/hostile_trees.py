"""Trees as a hostile owner makes them."""

import os
import shutil
import socket
import subprocess
from pathlib import Path


def chain(top: Path, levels: int, name: str = "d") -> None:
    """Nest folders; each is entered, as no path could be long enough."""
    here = os.getcwd()  # noqa: PTH109 - as it may be deeper than a path can say
    os.chdir(top)
    try:
        for _ in range(levels):
            os.mkdir(name)  # noqa: PTH102 - as above
            os.chdir(name)
        Path("leaf").write_bytes(b"x" * 8192)
    finally:
        os.chdir(here)


def closed(top: Path) -> None:
    """Folders that nobody may enter, with something in them."""
    for mode in (0o000, 0o111, 0o444, 0o200):
        folder = top / f"closed-{mode:o}"
        (folder / "below").mkdir(parents=True)
        (folder / "file").write_text("x")
        (folder / "below").chmod(0)
        folder.chmod(mode)


def odd(top: Path, outside: Path) -> None:
    """Everything that is no plain file or folder, and names that are no text."""
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()  # noqa: PTH109 - the address of a socket holds 107 bytes only
        os.chdir(top)
        listener.bind("socket")
        os.chdir(here)
    (top / "out").symlink_to(outside)
    (top / "loop").symlink_to("loop")
    (top / "n\nl").write_text("x")
    Path(os.fsdecode(os.fsencode(top) + b"/\xff\xfe")).mkdir()
    (top / "-rf").mkdir()
    os.link(outside / "kept", top / "hard")


def immutable(top: Path) -> bool:
    """A file and a folder that even root may not remove as they are; False where the file system has no such thing."""
    (top / "stone").mkdir()
    (top / "stone" / "file").write_text("x")
    chattr = shutil.which("chattr")
    return bool(chattr) and all(
        subprocess.run([chattr, "+i", path], capture_output=True, check=False).returncode == 0
        for path in (top / "stone" / "file", top / "stone")
    )
