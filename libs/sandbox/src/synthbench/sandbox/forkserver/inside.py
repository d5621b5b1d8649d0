"""Runs inside a sandbox: forks a child of a clean interpreter for each request. Standard library only.

`python3 -I -S -c SOURCE SOCKET PID_NAMESPACE_OF_THE_HOST`. A request is one packet with four descriptors: a file
`{"cwd": …, "code": …, "argv": […]}` and the three standard streams. The answer is the exit code, once every other
process of the namespace is gone.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import types
from pathlib import Path


def serve(link: socket.socket) -> list[int]:
    """Answer until the other side closes; in each child return what it has to run."""
    while True:
        word, files, _, _ = socket.recv_fds(link, 16, 4)
        if not word:
            sys.exit(0)
        child = os.fork()
        if child == 0:
            link.close()
            return files
        for file in files:
            os.close(file)
        status = os.waitpid(child, 0)[1]
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        link.send(b"%d" % os.waitstatus_to_exitcode(status))


def become(request: int, *streams: int) -> None:
    """Be a fresh `python3 -I -S -c CODE ARG…`: standard streams, folder, arguments, an empty `__main__`."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with os.fdopen(request, "rb") as file:
        wanted = json.load(file)
    os.chdir(wanted["cwd"])
    sys.argv = ["-c", *wanted["argv"]]
    fresh = types.ModuleType("__main__")
    sys.modules["__main__"] = fresh
    exec(compile(wanted["code"], "<string>", "exec"), fresh.__dict__)  # noqa: S102 - it is what a child is for


if str(Path("/proc/self/ns/pid").readlink()) == sys.argv[2]:
    sys.exit("not in a PID namespace of its own")
_link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
_link.connect(sys.argv[1])
become(*serve(_link))
