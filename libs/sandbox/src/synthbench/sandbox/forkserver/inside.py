"""Runs inside a sandbox: forks a child of a clean interpreter for each request. Standard library only, little of it.

`python3 -I -S -c SOURCE SOCKET PID_NAMESPACE_OF_THE_HOST`. A request is one packet with four descriptors: a file with
the folder, the code and the arguments, NUL between them, and the three standard streams. The answer is the exit code,
once every other process of the namespace is gone.
"""

import atexit
import gc
import importlib  # noqa: F401 - what nearly every child imports is loaded once  # pyright: ignore[reportUnusedImport] - so
import json  # noqa: F401 - as above  # pyright: ignore[reportUnusedImport] - as above
import os
import sys
from _socket import (  # without the Python half, which costs a tenth of the start
    AF_UNIX,
    CMSG_LEN,
    SOCK_SEQPACKET,
    socket,
)

_SIGKILL = 9


def serve(link: socket) -> list[int]:
    """Answer until the other side closes; in each child return what it has to run."""
    gc.collect()
    gc.freeze()  # a child's collections leave the shared pages alone
    while True:
        word, passed, _, _ = link.recvmsg(16, CMSG_LEN(16))
        if not word:
            os._exit(0)
        files = [int.from_bytes(passed[0][2][at : at + 4], sys.byteorder) for at in (0, 4, 8, 12)]
        child = os.fork()
        if child == 0:
            link.close()
            return files
        for file in files:
            os.close(file)
        status = os.waitpid(child, 0)[1]
        try:  # noqa: SIM105 - contextlib is not loaded here
            os.kill(-1, _SIGKILL)
        except ProcessLookupError:
            pass
        link.send(b"%d" % os.waitstatus_to_exitcode(status))


def become(request: int, *streams: int) -> int:
    """Be a fresh `python3 -I -S -c CODE ARG…`: standard streams, folder, arguments, an empty `__main__`."""
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with open(request, "rb") as file:
        folder, code, *arguments = file.read().decode().split("\0")
    sys.argv = ["-c", *arguments]
    fresh = type(sys)("__main__")
    sys.modules["__main__"] = fresh
    try:
        os.chdir(folder)
        exec(compile(code, "<string>", "exec"), fresh.__dict__)  # noqa: S102 - it is what a child is for
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)  # noqa: T201 - as the interpreter does
        return 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type] - inside `except` there is one
        return 1
    return 0


def end(code: int) -> None:
    """End as the interpreter does, but without taking its objects apart, which would copy every shared page."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()  # noqa: SLF001 - what the interpreter itself calls
    atexit._run_exitfuncs()  # noqa: SLF001 - what multiprocessing calls, too  # pyright: ignore[reportPrivateUsage] - so
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            code = code or 120  # the interpreter's own
    os._exit(code)


if os.readlink("/proc/self/ns/pid") == sys.argv[2]:  # noqa: PTH115 - pathlib is not loaded here
    sys.exit("not in a PID namespace of its own")
_link = socket(AF_UNIX, SOCK_SEQPACKET)
_link.connect(sys.argv[1])
end(become(*serve(_link)))
