"""The protocols of sandboxes and of the engines that make them.

A sandbox is one isolated place with a workspace. Commands run one at a time or side by side; each is alone with
its children: **a process in the background ends with the command that started it**, unless the spec says otherwise
(`SandboxSpec.background`). Files stay until `close`.
Errors are those of `synthbench.sandbox.errors`; a failing or hanging command is a `RunResult`, not an error.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synthbench.sandbox.diff import Diff, Snapshot
from synthbench.sandbox.image import Image, ImageSource
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import Network, SandboxSpec

READ_CAP = 16 * 1024 * 1024  # bytes `read` returns unless told otherwise


@dataclass(frozen=True, slots=True)
class Isolation:
    """The isolation that an engine really offers on this machine; it goes into the record.

    Attributes:
        engine: its name, as in the entry points.
        version: of the technology.
        isolated: code inside cannot reach the host, its network or another sandbox.
        unenforced: one line for each thing asked for by a spec that is not held up, with the reason.
        network: the most that a spec may ask for here.
        noticed: this process's kernel notices what is written inside; where the engine runs on another one (a virtual
            machine, a shared file system) it does not, and every step walks the workspace.
    """

    engine: str
    version: str
    isolated: bool
    unenforced: tuple[str, ...]
    network: Network = "none"
    noticed: bool = True


class Shell(Protocol):
    """A shell that stays: bash where there is one, else sh. Its scripts run one after the other, with no input."""

    async def run(self, script: str, *, timeout: float) -> RunResult:  # noqa: ASYNC109 (as in `Sandbox.run`)
        """Run a script in the shell: folder, variables, functions and background jobs stay for the next one.

        What background jobs print belongs to the script during which it comes; what comes between two, to the later.
        After `timeout` seconds what the script started is killed, and the script is left; a shell that goes on all the
        same, or that the script ended (`exit`, `set -e`, `kill`), is replaced: see `RunResult.restarted`.

        Raises:
            SandboxError: it could not be started, which is our failure.
            SandboxClosed: it, or the sandbox, was closed.
        """
        ...

    async def close(self) -> None:
        """End it with all its jobs. Twice is as good as once."""
        ...


class Sandbox(Protocol):
    """One sandbox. Every path is relative to the workdir, or absolute and inside it; links are followed inside only."""

    @property
    def id(self) -> str:
        """Unique on this machine."""
        ...

    @property
    def isolation(self) -> Isolation:
        """The isolation that holds for this sandbox."""
        ...

    @property
    def refused(self) -> Sequence[str]:
        """The hosts that it asked for and may not reach, as "name:port"; each once, at most 100."""
        ...

    @property
    def workdir(self) -> str:
        """The workspace as commands inside see it."""
        ...

    def socket_path(self, name: str) -> str:
        """Return the path at which commands inside find a socket of `SandboxSpec.sockets`."""
        ...

    @property
    def image(self) -> str | None:
        """The digest of the image that it runs from; None where the engine has no images."""
        ...

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float,  # noqa: ASYNC109 (the command's time, not the caller's: it becomes a result)
        track_cwd: bool = False,
    ) -> RunResult:
        """Run a command to its end, or kill it with all its children after `timeout` seconds.

        Args:
            argv: the command; looked up on the sandbox's PATH. One that does not exist ends with 127.
            cwd: any folder inside, the workdir by default.
            env: variables over those of the spec.
            stdin: fed to the command, then end of file.
            timeout: seconds.
            track_cwd: learn where a `bash -c SCRIPT` ended (`RunResult.cwd`), without touching its output.

        Raises:
            PathRefused: no such cwd.
            SandboxError: the command could not be started, which is our failure.
            SandboxClosed: there is no sandbox any more.
        """
        ...

    async def shell(self, *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> Shell:
        """Return a shell that stays until its `close` or the sandbox's; commands may run beside it.

        Raises:
            PathRefused: there is no such cwd.
            SpecRefused: the engine has no such shell.
        """
        ...

    async def read(self, path: str, *, max_bytes: int = READ_CAP) -> bytes:
        """Return the content of a regular file; PathRefused where it is missing, larger, or no such file."""
        ...

    async def write(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        """Put a file in place, whole or not at all, with the folders above it.

        `mode` None keeps the bits of the file that was there, and is 0644 for a new one.
        """
        ...

    async def upload(self, archive: bytes, *, to: str = ".") -> None:
        """Unpack an uncompressed tar; ArchiveRefused, and nothing unpacked, where a member is not harmless."""
        ...

    async def download(self, path: str = ".") -> bytes:
        """Return a file or folder as an uncompressed tar, names relative to it; without devices and links out."""
        ...

    async def put(self, archive: bytes, *, to: str) -> None:
        """Unpack our own tar in a folder anywhere inside, as root; SpecRefused where the root cannot be written."""
        ...

    async def fetch(self, path: str, *, max_bytes: int = READ_CAP) -> bytes | None:
        """Return a file or folder from anywhere inside as a tar, None where there is none; refused like `put`.

        It is whatever is there: nothing in it is harmless. SandboxError where it is larger than `max_bytes`.
        """
        ...

    async def snapshot(self) -> Snapshot:
        """Return a snapshot of the workspace as it is now."""
        ...

    async def diff(self, since: Snapshot) -> Diff:
        """Return everything that changed since. Kill the processes first: a file in motion is caught at some moment."""
        ...

    async def step(self, since: Snapshot) -> tuple[Diff, Snapshot]:
        """Return the changes since the baseline of the step before, and the new baseline.

        While nothing in the sandbox runs, it costs what the changes are worth, however big the workspace is. The
        archives of all steps, applied in their order to what the first baseline was taken of, make the same tree.
        """
        ...

    async def apply(self, diff_archive: bytes, *, protected: Collection[str] = ()) -> tuple[str, ...]:
        """Bring a `Diff.archive` into this workspace, checked like an upload.

        Args:
            diff_archive: made by `diff`, but trusted no more than anybody's.
            protected: relative paths that stay as they are, with everything below and the folders above.

        Returns:
            The paths that were left out, sorted.
        """
        ...

    async def kill(self) -> None:
        """End every process inside; they are gone when this returns. Further commands may follow."""
        ...

    async def close(self) -> None:
        """Kill, unmount, remove everything. Twice is as good as once."""
        ...


class SandboxEngine(Protocol):
    """A technology that makes sandboxes, found by the entry point `synthbench.sandboxes`."""

    @property
    def name(self) -> str:
        """The name of its entry point, which is that of its pool."""
        ...

    async def probe(self) -> Isolation:
        """Try the engine out by running a command; EngineUnavailable where it does not work."""
        ...

    async def reap(self) -> list[str]:
        """Take away what engines of killed processes left under the same root; return those sandboxes' owners."""
        ...

    async def image(self, source: ImageSource) -> Image:
        """Return an image that the engine has, or pull or build it; the same source is the same image.

        Raises:
            SpecRefused: this engine has no images.
            ImageFailed: it cannot be had; with the reason and the mend.
        """
        ...

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Make one sandbox with an empty workspace, or the image's where the root is writable.

        Raises:
            SpecRefused: it asks for what this engine does not offer.
        """
        ...

    def socket_place(self) -> AbstractContextManager[Path]:
        """Return a path for a socket that `SandboxSpec.sockets` may name; it goes with the context.

        Call it after `probe`.
        """
        ...

    async def aclose(self) -> None:
        """Close every sandbox that is still open."""
        ...
