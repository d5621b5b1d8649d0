"""The data folder: where embedded mode keeps everything, who may run on it, and the secrets of its stack."""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO
from urllib.parse import quote

from synthbench.client.errors import CliError


def default_data_dir() -> Path:
    """`SYNTHBENCH_DATA_DIR`, else /var/lib/synth-bench as root, else the XDG data folder."""
    if named := os.environ.get("SYNTHBENCH_DATA_DIR"):
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/synth-bench")
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local/share")) / "synth-bench"


class DataDir:
    """A data folder that exists and can be written.

    As root its parents must be passable for the unprivileged user that Postgres runs under.

    Raises:
        CliError: it cannot be made, or we may not write in it. That there is no room left is said by `require_room`
            alone: looking at a stack and stopping it need none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_data_dir()
        mend = "set SYNTHBENCH_DATA_DIR to a folder that can be written"
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711)
            if os.geteuid() == 0:
                self.path.chmod(0o711)
            for name in ("logs", "secrets", "run"):
                self.sub(name).mkdir(exist_ok=True, mode=0o700)
            self.models_file.touch()  # a running gateway reads it again when it changes
            if not os.access(self.path, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise CliError(f"data folder {self.path}: {error.strerror}; {mend}") from error

    def free_bytes(self) -> int:
        """Bytes that can be written here."""
        return shutil.disk_usage(self.path).free

    def require_room(self, needed: int, reason: str) -> None:
        """Check that so many bytes are free.

        Raises:
            CliError: they are not; with the reason for which they are needed.
        """
        free = self.free_bytes()
        if free < needed:
            raise CliError(
                f"data folder {self.path}: only {free >> 20} MiB free, {needed >> 20} are needed ({reason}); "
                "make room or set SYNTHBENCH_DATA_DIR to a folder on a bigger disk"
            )

    def sub(self, name: str) -> Path:
        """A path inside it."""
        return self.path / name

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.sub("logs")

    @property
    def stack_file(self) -> Path:
        """Says where the running stack is reached."""
        return self.sub("run") / "stack.json"

    @property
    def failure_file(self) -> Path:
        """Says why the last stack failed, for the command that waits for it."""
        return self.sub("run") / "failure"

    @property
    def stay_file(self) -> Path:
        """Exists where the running stack was asked to go on when no command uses it."""
        return self.sub("run") / "stay"

    @property
    def models_file(self) -> Path:
        """models.toml of a stack that is told of no other."""
        return self.sub("models.toml")

    def provider_key(self, provider: str) -> Path:
        """Return the file of a model provider's API key; any name of a provider makes a file name."""
        return self.sub("secrets") / f"provider-{quote(provider, safe='', errors='surrogatepass')}"

    def secret(self, name: str) -> str:
        """Return a secret of this stack, made up at its first use; only its owner can read it."""
        path = self.sub("secrets") / name
        try:
            return path.read_text("ascii")
        except FileNotFoundError:
            value = secrets.token_urlsafe(24)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(value)
            return value

    @property
    def tokens_file(self) -> Path:
        """Further API tokens of this stack: lines as `SYNTHBENCH_API_TOKENS` has them."""
        return self.sub("secrets") / "api-tokens"

    def token_lines(self) -> list[str]:
        """Return the lines of the tokens file."""
        try:
            return self.tokens_file.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []

    def write_token_lines(self, lines: Sequence[str]) -> None:
        """Replace the tokens file; only its owner can read it."""
        if not lines:
            self.tokens_file.unlink(missing_ok=True)
            return
        temporary = self.tokens_file.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        temporary.replace(self.tokens_file)

    def try_lock(self, name: str) -> IO[str] | None:
        """Take an exclusive lock; None if somebody holds it. It goes with the file object or the process."""
        return self._flock(name, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def is_locked(self, name: str) -> bool:
        """Whether somebody holds the exclusive lock."""
        file = self._flock(name, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if file:
            file.close()
        return file is None

    def is_shared(self, name: str) -> bool:
        """Whether somebody holds it shared or exclusively."""
        file = self.try_lock(name)
        if file:
            file.close()
        return file is None

    @contextlib.contextmanager
    def shared(self, name: str) -> Generator[None]:
        """Hold a shared lock: 'somebody uses this'."""
        file = self._flock(name, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if file:
                file.close()

    def _flock(self, name: str, how: int) -> IO[str] | None:
        file = (self.sub("run") / f"{name}.lock").open("a+")
        try:
            fcntl.flock(file, how)
        except BlockingIOError:
            file.close()
            return None
        return file

    def write_json(self, name: str, value: object) -> None:
        """Write a small state file at once."""
        target = self.sub("run") / name
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(value))
        temporary.replace(target)
