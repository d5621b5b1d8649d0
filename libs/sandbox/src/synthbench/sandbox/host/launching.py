"""Starting commands in a sandbox: the protocols that each engine follows beside the sandbox's folders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from synthbench.sandbox.host.cgroups import Counts
from synthbench.sandbox.host.disk import DiskWatch
from synthbench.sandbox.host.running import EndedCommand, RunningCommand
from synthbench.sandbox.protocol import Shell


@dataclass(frozen=True)
class Command:
    """One command as a launcher gets it, with its folder and its whole environment."""

    argv: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    stdin: bytes
    track_cwd: bool = False
    """Whether the folder in which a `bash -c SCRIPT` ends shall be learned."""


class StartedCommand(Protocol):
    """A command that a launcher has started."""

    @property
    def running(self) -> RunningCommand:
        """The command itself, which can be waited for and ended."""
        ...

    async def exit_code(self, ended: EndedCommand) -> int | None:
        """Return the exit code as a shell sees it (128 + n for signal n); None where the command was killed.

        Raises:
            SandboxError: it never began.
            SandboxKilled: somebody outside ended the sandbox.
        """
        ...

    def cwd(self) -> str | None:
        """Return the folder in which it ended; None where nobody asked, or the shell could not say."""
        ...

    def close(self) -> None:
        """Close the descriptors that it holds."""
        ...


class CommandLauncher(Protocol):
    """Starts the commands of one sandbox, in the way of its engine."""

    async def launch(self, command: Command) -> StartedCommand:
        """Start a command.

        Raises:
            SandboxError: it cannot be started.
        """
        ...

    def shell(self, command: Command, disk: DiskWatch) -> Shell:
        """Return a shell that stays, not started yet.

        Raises:
            SpecRefused: the engine has none.
        """
        ...

    def counts(self) -> Counts:
        """Return how often the kernel has refused the sandbox something so far."""
        ...

    async def sweep(self) -> None:
        """End every process that still runs in the sandbox."""
        ...

    async def aclose(self) -> None:
        """Release what the kernel keeps for the sandbox; its folders are removed afterwards, and name it until then."""
        ...


class OutsideFiles(Protocol):
    """The files of a sandbox that lie outside of its workspace, where an engine reaches them."""

    async def put(self, archive: bytes, to: str) -> None:
        """Unpack a tar in a folder that is there; its files belong to root."""
        ...

    async def fetch(self, path: str, max_bytes: int) -> bytes | None:
        """Return a file or folder as a tar; None where there is none.

        Raises:
            SandboxError: it is larger than `max_bytes`.
        """
        ...
