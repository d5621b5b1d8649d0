"""Python programs in a sandbox without a new interpreter for each: a clean one forks, as in `multiprocessing`.

A run is what `Sandbox.run(["python3", "-I", "-S", "-c", CODE, …])` would be: a fresh process whose children end with
it. All runs share one PID namespace and uid, so that one may take the server over and answer for later ones: use it
where they are the same code anyway. Where there is no server (no python3, code that killed it, an engine without
isolation) every run is a command of its own.
"""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath

from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.streams import OutputStream, until_over
from synthbench.sandbox.protocol import Sandbox, SandboxEngine
from synthbench.sandbox.result import RunResult

SOCKET = "python"
"""The name under which a sandbox that shall have a server gets its socket."""
PYTHON = ("python3", "-I", "-S", "-c")

_START_SECONDS = 10.0
_LIFE_SECONDS = 24 * 3600.0
_READ_SECONDS = 5.0


@dataclass
class ForkServer:
    """Runs Python programs in forks of one interpreter inside a sandbox; `fork_server` makes it.

    Its `path` belongs into `SandboxSpec.sockets[SOCKET]`.
    """

    path: Path
    _listener: socket.socket
    _sandbox: Sandbox | None = None
    _link: socket.socket | None = None
    _server: "asyncio.Task[RunResult] | None" = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start(self, sandbox: Sandbox, *, output_bytes: int) -> None:
        """Start the server in a sandbox.

        Args:
            sandbox: made with this socket.
            output_bytes: kept of each stream of each run.
        """
        self._sandbox, self._output_bytes = sandbox, output_bytes
        if not sandbox.isolation.isolated:
            return
        source = resources.files(__name__).joinpath("inside.py").read_text()
        words = [*PYTHON, source, sandbox.socket_path(SOCKET), _pid_namespace()]
        self._server = asyncio.create_task(sandbox.run(words, timeout=_LIFE_SECONDS))
        accepting = asyncio.create_task(asyncio.get_running_loop().sock_accept(self._listener))
        await asyncio.wait({self._server, accepting}, timeout=_START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if accepting.done():
            self._link = accepting.result()[0]
        else:
            accepting.cancel()
        self._listener.close()  # whatever runs inside from now on finds nobody here

    async def run(
        self,
        code: str,
        arguments: Sequence[str],
        *,
        cwd: str | None = None,
        stdin: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - the command's, as in `Sandbox.run`
    ) -> RunResult:
        """Run a Python program; see `Sandbox.run`. A missing cwd is an error of the program, or PathRefused."""
        assert self._sandbox is not None
        async with self._turn:
            if self._link is None:
                return await self._sandbox.run([*PYTHON, code, *arguments], cwd=cwd, stdin=stdin, timeout=timeout)
            folder = str(PurePosixPath(self._sandbox.workdir, cwd or "."))
            return await self._forked(["\0".join([folder, code, *arguments]).encode(), stdin], timeout)

    async def _forked(self, files: Sequence[bytes], timeout: float) -> RunResult:  # noqa: ASYNC109 - as above
        assert self._link is not None
        loop = asyncio.get_running_loop()
        streams: list[OutputStream] = []
        began = loop.time()
        with ExitStack() as given:
            descriptors = [_file(data, given) for data in files]
            for _ in (1, 2):
                read, write = os.pipe()
                given.callback(os.close, write)
                os.fchmod(write, 0o666)  # so that /dev/stdout can be opened
                os.set_blocking(read, False)
                streams.append(OutputStream(read, self._output_bytes))
                descriptors.append(write)
            answer, timed_out = b"", False
            try:
                socket.send_fds(self._link, [b"run"], descriptors)
                given.close()
                async with asyncio.timeout(timeout):
                    answer = await loop.sock_recv(self._link, 16)
            except OSError as error:
                timed_out = isinstance(error, TimeoutError)
            if not answer:
                await self._lose()
        await until_over(streams, _READ_SECONDS)
        return _result(_code(answer), streams, timed_out=timed_out, seconds=loop.time() - began)

    async def _lose(self) -> None:
        """End the server, which hangs or is gone, with everything that it left."""
        assert self._link is not None
        self._link.close()
        self._link = None
        assert self._sandbox is not None
        await self._sandbox.kill()

    async def close(self) -> None:
        """End it; the sandbox may be closed already."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._listener.close()
        if self._server is not None:
            self._server.cancel()
            with suppress(asyncio.CancelledError, SandboxError):
                await self._server


@asynccontextmanager
async def fork_server(engine: SandboxEngine) -> AsyncGenerator[ForkServer]:
    """Make the place for one server in a sandbox of the engine; it ends with the context."""
    with engine.socket_place() as path:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen(1)
        listener.setblocking(False)
        server = ForkServer(path, listener)
        try:
            yield server
        finally:
            await server.close()


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").readlink())


def _file(data: bytes, stack: ExitStack) -> int:
    descriptor = os.memfd_create("input")
    stack.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _code(answer: bytes) -> int | None:
    """Return the exit code as a shell sees it; None where there is none."""
    try:
        code = int(answer)
    except ValueError:
        return None
    return 128 - code if code < 0 else code


def _result(code: int | None, streams: Sequence[OutputStream], *, timed_out: bool, seconds: float) -> RunResult:
    (stdout, stdout_cut), (stderr, stderr_cut) = (stream.kept.kept() for stream in streams)
    return RunResult(
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        stdout_total=streams[0].kept.total,
        stderr_total=streams[1].kept.total,
        stdout_cut=stdout_cut,
        stderr_cut=stderr_cut,
        timed_out=timed_out,
        seconds=seconds,
    )
