"""Sandboxes with all that protects taken away: the control in which an attack has to win before its defeat counts.

The same technology each time, but as root, with every capability, without a filter, a limit or a namespace of its own.
"""

import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from synthbench.sandbox.docker import BASE_IMAGE
from synthbench.sandbox.host.system import find_bubblewrap, find_python

_SECONDS = 60
_CAPABILITIES = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
]  # fmt: skip
"""By their numbers. Source: capabilities(7)."""
_UNCONFINED = ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined")


class Weakened(Protocol):
    """One such sandbox."""

    def run(self, arguments: list[str], folder: Path) -> str:
        """Run Python in a folder of the host; return what it printed on both streams."""
        ...


class WeakenedBubblewrap:
    """`bwrap` that binds the whole host, devices and all, and unshares nothing."""

    def __init__(self, place: Path) -> None:
        self._program = find_bubblewrap(place)

    def run(self, arguments: list[str], folder: Path) -> str:
        """See `Weakened`."""
        words = [str(self._program.path), "--dev-bind", "/", "/", "--cap-add", "ALL", "--chdir", str(folder), "--"]
        done = subprocess.run(
            [*words, str(find_python()), *arguments],
            capture_output=True, text=True, timeout=_SECONDS, check=False, env=dict(self._program.env),
        )  # fmt: skip
        return done.stdout + done.stderr[-300:]


class WeakenedDocker:
    """One privileged container in the host's namespaces, with the host's sockets and the targets' folders."""

    def __init__(self, container: str) -> None:
        self._container = container

    def run(self, arguments: list[str], folder: Path) -> str:
        """See `Weakened`."""
        done = subprocess.run(
            ["docker", "exec", "--workdir", str(folder), self._container, "python3", *arguments],
            capture_output=True, text=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr[-300:]


def _held() -> list[str]:
    """What this process may hand on."""
    status = Path("/proc/self/status").read_text().split("CapBnd:")[1].split()[0]
    return [name for number, name in enumerate(_CAPABILITIES) if int(status, 16) >> number & 1]


@contextmanager
def weakened(engine: str) -> Generator[Weakened]:
    """Make one of an engine's technology."""
    if engine == "bubblewrap":
        with tempfile.TemporaryDirectory(prefix="synthbench-weakened-") as place:
            yield WeakenedBubblewrap(Path(place))
        return
    words = [f"--{name}=host" for name in ("network", "pid", "ipc", "uts")]
    words += [f"--cap-add={name}" for name in _held()]  # --privileged fails where the host itself lacks one
    words += [f"--security-opt={option}" for option in _UNCONFINED]
    words += [f"--volume={path}:{path}" for path in (tempfile.gettempdir(), "/var/run", "/sys", "/dev")]
    words += ["--device-cgroup-rule=a *:* rwm"]
    started = subprocess.run(
        ["docker", "run", "--detach", "--rm", *words, BASE_IMAGE, "sleep", "900"],
        capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    container = started.stdout.split()[-1]
    try:
        yield WeakenedDocker(container)
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, timeout=_SECONDS, check=True)
