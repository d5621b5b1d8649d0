"""The process that has imported the services' code once, and forks each service: they start at once and share memory.

`python -m synthbench.embedded.fork_server FD MODULE...` imports the modules and then listens on the Unix socket
with the descriptor FD. One byte with a descriptor of a pipe asks for a fork. The child alone reads from that pipe what
it shall run (`Program` as JSON): this process, from which all others are copied, never holds their secrets. A line of
JSON is answered for each process that was started and for each that ended, in this order. The end of the socket is
the end of this process, and the kernel tells its children (`dies_with_parent`). It runs no thread, which a fork would
not copy. Linux only.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from synthbench.embedded.children import dies_with_parent


@dataclass(frozen=True)
class Program:
    """The program that a forked process runs.

    Attributes:
        module: it runs as `python -m` would run it.
        log: absolute path of the file that output and errors are appended to.
        env: the whole environment.
    """

    module: str
    log: str
    env: dict[str, str]

    def to_json(self) -> bytes:
        """Encode the program for the pipe."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Program":
        """Read it from the pipe."""
        return cls(**json.loads(content))


def main() -> None:
    """Import, serve, and in a child run what was asked for; its end is the end of this function."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - only the number
    if threads != 1:
        raise SystemExit(f"{threads} threads run after the imports; a fork copies one of them only")
    gc.collect()
    gc.freeze()  # no collection in a child touches, and so copies, what all share
    request = serve(control)
    if request is not None:
        become(request)


def serve(control: socket.socket) -> int | None:
    """Fork for each request until the socket ends.

    Returns:
        In a child: the pipe with its `Program`. In the server itself: None, when the socket has ended.
    """
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    woken.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    prepare = dies_with_parent(signal.SIGTERM)
    with control, woken, wakes, selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _events in selector.select()]
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                for pid, code in _ended():
                    _answer(control, ended=pid, code=code)
            if control not in ready:
                continue
            request_byte, descriptors, _flags, _address = socket.recv_fds(control, 1, 1)
            if not request_byte:
                return None
            [request] = descriptors
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.setsid()
                if prepare is not None:
                    prepare()
                return request
            os.close(request)
            _answer(control, started=pid)


def _ended() -> Iterator[tuple[int, int]]:
    """Process ids of children that ended, with their exit codes (negative: the signal that killed it)."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def _answer(control: socket.socket, **content: int) -> None:
    control.sendall(json.dumps(content).encode() + b"\n")


def become(request: int) -> None:
    """Run the program that a pipe describes, as this process."""
    with open(request, "rb") as pipe:
        program = Program.from_json(pipe.read())
    with Path(os.devnull).open("rb") as nothing, Path(program.log).open("ab") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    Path("/proc/self/comm").write_text(program.module.rpartition(".")[2])  # its name in `ps` and `top`
    os.environ.clear()
    os.environ.update(program.env)
    sys.argv = [program.module]
    runpy.run_module(program.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
