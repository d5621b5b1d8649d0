"""The files through which a command runs: its script, its input, and a pipe for each of its outputs."""

import asyncio
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from synthbench.sandbox.domain.output import HeadTail
from synthbench.sandbox.host.cwd import read_cwd
from synthbench.sandbox.host.streams import OutputStream

EMPTY = "/dev/null"


class Slot:
    """Files and pipes that commands use one after the other, as long as each leaves nobody who holds them.

    The pipes are open on both ends here: they have no end, and are read until they are empty when their writers are
    gone.

    Args:
        folder: of the channel.
        number: begins their names.
        uid: whom the pipes are given to, where that is not this process's own user.
        inside: the folder as the sandbox sees it.
    """

    def __init__(self, folder: Path, number: int, uid: int | None, inside: str) -> None:
        self.number = number
        self.inside = inside
        self._start = f"{folder}/{number}."
        self._uid = uid
        self._cwd = self._words = -1
        self._made: list[str] = []
        self.outputs: tuple[OutputStream, ...] = ()
        try:
            for name in ("out", "err"):
                self.outputs = (*self.outputs, OutputStream(self._pipe(name), 0))
        except BaseException:
            self.close()
            raise

    def _pipe(self, name: str) -> int:
        path = self._start + name
        os.mkfifo(path, 0o600)
        self._made.append(name)
        if self._uid is not None:
            os.chown(path, self._uid, self._uid)
        return os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def begin(self, script: str, limit: int) -> None:
        """Put a command's script in place, and keep so many bytes of each of its outputs."""
        self._put("command", script.encode())
        for output in self.outputs:
            output.begin(limit)

    def feed(self, stdin: bytes) -> str:
        """Put a command's input in place; return its name for PID 1. Blocks for as long as the disk takes."""
        if not stdin:
            return EMPTY
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._start + "in")  # noqa: PTH108 - on the way of every command; pathlib costs as much as the kernel
        self._put("in", stdin)
        return f"{self.number}.in"

    def _put(self, name: str, data: bytes) -> None:
        # others may read: nobody but us and the sandbox's user comes this far
        descriptor = os.open(self._start + name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        if name not in self._made:
            self._made.append(name)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)

    def cwd_pipe(self) -> None:
        """Open the pipe `NUMBER.cwd`, through which a shell reports its folder."""
        if self._cwd < 0:
            self._cwd = self._pipe("cwd")

    def cwd(self) -> str | None:
        """Return the folder that the shell reported; None where it reported none that can be a folder."""
        return read_cwd(self._cwd) if self._cwd >= 0 else None

    def words_pipe(self) -> None:
        """Open the pipe `NUMBER.words`, through which a shell is given the names of its scripts."""
        self._words = self._pipe("words")

    def ask(self, script: str) -> None:
        """Give a shell its next script."""
        self._put("run", script.encode() + b"\n")
        os.write(self._words, f"{self.inside}/{self.number}.run\n".encode())

    def take(self, limit: int) -> Sequence[HeadTail]:
        """Return the output since the last call, and begin to keep `limit` bytes anew of each stream."""
        kept = [output.kept for output in self.outputs]
        for output in self.outputs:
            output.begin(limit)
        return kept

    async def read_report(self) -> Sequence[str]:
        """Return the lines that a shell reports, up to a dot; the dot is left out."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._cwd, readable.set)
        report = b""
        try:
            while not report.endswith(b"\n.\n"):
                await readable.wait()
                readable.clear()
                with contextlib.suppress(BlockingIOError):
                    report = (report + os.read(self._cwd, 65536))[-65536:]
        finally:
            loop.remove_reader(self._cwd)
        return report.decode(errors="replace").splitlines()[:-1]

    def close(self, *, reading: bool = False) -> None:
        """Remove the files; `reading` leaves the outputs to somebody else."""
        if not reading:
            for output in self.outputs:
                output.close()
        for descriptor in (self._cwd, self._words):
            if descriptor >= 0:
                os.close(descriptor)
        self._cwd = self._words = -1
        self._unlink()

    def _unlink(self) -> None:
        while self._made:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._start + self._made.pop())  # noqa: PTH108 - as above
