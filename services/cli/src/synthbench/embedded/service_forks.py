"""Services as forks of one process that has imported their code (`fork_server.py`); started by the supervisor."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from synthbench.client.errors import CliError
from synthbench.embedded.children import handed_on, spawn
from synthbench.embedded.fork_server import Program
from synthbench.sandbox.host.pidfds import wait_for_end

_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_IMPORTS_NEED = re.compile(r"PATH|HOME|TMPDIR|TZ|LANG|LC_\w+|LD_\w+|PYTHON\w+")
"""Variables that the fork server gets; each service has them in its memory, so that none may hold a secret."""


class ForkedProcess:
    """A process that the fork server started; it is used as an `asyncio.subprocess.Process` is.

    Attributes:
        pid: its process id.
        returncode: None while it runs; then its exit code, negative for the signal that killed it. Where the fork
            server ended before it, nobody knows the code, and it is that of SIGTERM, which the kernel then sent.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = _descriptor_of(pid)
        self._over = asyncio.Event()

    def end(self, code: int) -> None:
        """Note that it has ended."""
        if self.returncode is None:
            self.returncode = code
            if self._descriptor is not None:
                os.close(self._descriptor)
            self._over.set()

    async def end_unseen(self) -> None:
        """Note its end when it comes, where the fork server cannot tell."""
        if self._descriptor is not None:
            await wait_for_end(self._descriptor)
        self.end(-signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        await self._over.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal.

        Raises:
            ProcessLookupError: it has ended.
        """
        if self.returncode is not None or self._descriptor is None:
            raise ProcessLookupError(self.pid)
        signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        """Send it SIGKILL.

        Raises:
            ProcessLookupError: it has ended.
        """
        self.send_signal(signal.SIGKILL)


class ServiceForks:
    """Starts processes by forking one that has imported their code. That one is started when it is first needed, and
    again when it died.

    Args:
        modules: what it imports.
        log: file that its own output is appended to.
    """

    def __init__(self, modules: Sequence[str], log: Path) -> None:
        self._modules = modules
        self._log = log
        self._server: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._reading: asyncio.Task[None] | None = None
        self._requested: deque[asyncio.Future[ForkedProcess]] = deque()
        self._running: dict[int, ForkedProcess] = {}
        self._unseen: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the server; None where it does not run."""
        return self._server.pid if self._server is not None and self._server.returncode is None else None

    async def start(self, module: str, *, log: Path, env: Mapping[str, str]) -> ForkedProcess:
        """Start `python -m module` with its own session, log file (absolute path) and environment.

        Raises:
            CliError: the fork server does not start.
        """
        async with self._starting:
            control = await self._connected()
        reading, writing = os.pipe()
        requested: asyncio.Future[ForkedProcess] = asyncio.get_running_loop().create_future()
        try:
            with contextlib.suppress(OSError):  # the server died: its last answer says so
                self._requested.append(requested)
                socket.send_fds(control, [b"\0"], [reading])
        finally:
            os.close(reading)
        # More than a pipe holds is only taken as the child reads it.
        content = Program(module, str(log), dict(env)).to_json()
        await asyncio.gather(
            asyncio.to_thread(_write, writing, content), asyncio.wait([requested], timeout=_START_SECONDS)
        )
        if not requested.done():
            requested.cancel()
            raise CliError(f"the fork server did not start {module} within {_START_SECONDS:.0f} s; see {self._log}")
        return requested.result()

    async def stop(self) -> None:
        """End the server; processes that still run are told by the kernel to end (SIGTERM)."""
        if self._server is None or self._control is None:
            return
        self._control.close()
        try:
            await asyncio.wait_for(self._server.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._server.kill()
            await self._server.wait()
        if self._reading is not None:
            await self._reading
        for task in self._unseen:
            task.cancel()
        await asyncio.gather(*self._unseen, return_exceptions=True)

    async def _connected(self) -> socket.socket:
        if self._control is not None and self.pid is not None and self._reading and not self._reading.done():
            return self._control
        await self.stop()  # what a dead one left
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-m", "synthbench.embedded.fork_server", str(theirs.fileno()), *self._modules]
        env = {name: value for name, value in handed_on(os.environ).items() if _IMPORTS_NEED.fullmatch(name)}
        try:
            self._server = await spawn(command, log=self._log, env=env, pass_fds=(theirs.fileno(),))
        finally:
            theirs.close()
        self._control = ours
        reader, writer = await asyncio.open_connection(sock=ours.dup())
        self._reading = asyncio.create_task(self._read(reader, writer))
        return ours

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in the server's answers until it ends."""
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                if "started" in answer:
                    self._running[answer["started"]] = process = ForkedProcess(answer["started"])
                    requested = self._requested.popleft()
                    if requested.done():  # nobody waits for it any more
                        process.kill()
                    else:
                        requested.set_result(process)
                elif process := self._running.pop(answer["ended"], None):
                    process.end(answer["code"])
        except ConnectionError:
            pass
        finally:
            writer.close()
            self._server_ended()

    def _server_ended(self) -> None:
        while self._requested:
            if not (requested := self._requested.popleft()).done():
                requested.set_exception(CliError(f"the fork server ended; see {self._log}"))
        for process in self._running.values():
            task = asyncio.create_task(process.end_unseen())
            self._unseen.add(task)
            task.add_done_callback(self._unseen.discard)
        self._running.clear()


def _descriptor_of(pid: int) -> int | None:
    """A descriptor of a process; None where it is gone: that it has ended is said next."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _write(descriptor: int, content: bytes) -> None:
    """Write all of it; a reader that died needs none of it."""
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as pipe:
        pipe.write(content)
