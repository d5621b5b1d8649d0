"""A sandbox whose files are folders of this host; how a command is started differs by engine (`CommandLauncher`)."""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import structlog

from synthbench.sandbox.diff import Diff, Snapshot
from synthbench.sandbox.domain.paths import within
from synthbench.sandbox.errors import PathRefused, SandboxClosed, SpecRefused
from synthbench.sandbox.host.disk import DiskWatch
from synthbench.sandbox.host.folders import SandboxFolders, remove
from synthbench.sandbox.host.launching import Command, CommandLauncher, OutsideFiles
from synthbench.sandbox.host.metrics import BACKGROUND_FAILURES, OPEN, count_command
from synthbench.sandbox.host.running import RunningCommand, limits_hit
from synthbench.sandbox.host.uids import UidLease
from synthbench.sandbox.protocol import READ_CAP, Isolation, Shell
from synthbench.sandbox.result import RunResult
from synthbench.sandbox.spec import SandboxSpec
from synthbench.sandbox.tree.beneath import FileOwner
from synthbench.sandbox.tree.notices import Notices
from synthbench.sandbox.tree.old_texts import OldTexts
from synthbench.sandbox.tree.workspace import WorkspaceFiles

T = TypeVar("T")


def new_id() -> str:
    """Return an id that is unique on this machine, and short enough for a Unix socket's path."""
    return secrets.token_hex(6)


@dataclass
class LocalSandbox:
    """A sandbox whose workspace, /tmp and home are folders of this host.

    Args:
        id: unique on this machine.
        spec: as asked for.
        isolation: what is held up.
        workdir: the workspace as commands see it.
        folders: its folders.
        launcher: starts commands.
        lease: on the uid that owns the files, where we are root.
        sockets: where commands find the sockets, by name.
        closed: told when it is gone.
        image: digest of what it runs from, where there are images.
        outside: reaches what is not in the workspace, where the engine can.
        written: folders that count as its disk, beside its own.
        refused: hosts that it asked for and may not reach; grows.
    """

    id: str
    spec: SandboxSpec
    isolation: Isolation
    workdir: str
    folders: SandboxFolders
    launcher: CommandLauncher
    lease: UidLease | None
    sockets: Mapping[str, str]
    closed: Callable[["LocalSandbox"], None]
    image: str | None = None
    outside: OutsideFiles | None = None
    written: Sequence[Path] = ()
    refused: Sequence[str] = ()
    _running: set[RunningCommand] = field(default_factory=set[RunningCommand])
    _shells: list[Shell] = field(default_factory=list[Shell])
    _kills: int = 0
    _gone: bool = False

    def __post_init__(self) -> None:
        self._workspace = WorkspaceFiles(
            sandbox=self.id,
            root=self.folders.workspace,
            workdir=self.workdir,
            contents=OldTexts(self.folders.side / "texts"),
            owner=FileOwner(self.lease.uid if self.lease else None),
            max_bytes=self.spec.limits.disk_mb * 1024 * 1024,
            # what is not isolated can write our files by names outside, of which nobody is told
            notices=Notices() if self.isolation.isolated and self.isolation.noticed else None,
        )
        written = (self.folders.workspace, self.folders.tmp, self.folders.home, *self.written)
        self._disk = DiskWatch(written, self.spec.limits.disk_mb * 1024 * 1024, self._end)

    def socket_path(self, name: str) -> str:
        """Return the path at which commands inside find a socket of the spec."""
        return self.sockets[name]

    async def run(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float,  # noqa: ASYNC109 - as in the protocol
        track_cwd: bool = False,
    ) -> RunResult:
        """Run a command to its end, or kill it with all its children after `timeout` seconds."""
        self._open()
        command = Command(
            argv=list(argv),
            cwd=await self._cwd(cwd),
            env={**self.spec.env, **(env or {})},
            stdin=stdin,
            track_cwd=track_cwd,
        )
        before, kills = self.launcher.counts(), self._kills
        launched = await self.launcher.launch(command)
        self._running.add(launched.running)
        self._disk.watch(launched.running)
        try:
            if self._kills != kills:  # everything was killed while this one was on its way
                await self._end(launched.running)
            ended = await launched.running.finish(timeout=timeout)
            full = self._disk.forget(launched.running)
            hit = limits_hit(before, self.launcher.counts(), timed_out=ended.timed_out, full=full)
            result = ended.result(exit_code=await launched.exit_code(ended), hit=hit, cwd=launched.cwd())
            count_command(self.isolation.engine, result)
            return result
        finally:
            self._disk.forget(launched.running)
            self._running.discard(launched.running)
            launched.close()

    async def shell(self, *, cwd: str | None = None, env: Mapping[str, str] | None = None) -> Shell:
        """Return a shell that stays, and is closed with the sandbox."""
        self._open()
        command = Command(argv=[], cwd=await self._cwd(cwd), env={**self.spec.env, **(env or {})}, stdin=b"")
        shell = self.launcher.shell(command, self._disk)
        self._shells.append(shell)
        return shell

    async def _cwd(self, cwd: str | None) -> str:
        """Return the folder in which a command starts; only one inside the workspace is looked up here."""
        if cwd is None or cwd == self.workdir:
            return self.workdir
        path = cwd if cwd.startswith("/") else f"{self.workdir}/{cwd}"
        inside = within(path, self.workdir)
        if inside is not None and not await asyncio.to_thread(self._workspace.is_folder, inside):
            raise PathRefused(f"there is no folder {cwd!r}", "start in one that exists")
        return path

    async def read(self, path: str, *, max_bytes: int = READ_CAP) -> bytes:
        """Return the content of a regular file of the workspace."""
        return await self._do(lambda: self._workspace.read(path, max_bytes))

    async def write(self, path: str, data: bytes, *, mode: int | None = None) -> None:
        """Put a file of the workspace in place, whole or not at all."""
        await self._do(lambda: self._workspace.write(path, data, mode))

    async def upload(self, archive: bytes, *, to: str = ".") -> None:
        """Unpack a tar in the workspace, or nothing of it where a member is not harmless."""
        await self._do(lambda: self._workspace.upload(archive, to))

    async def download(self, path: str = ".") -> bytes:
        """Return a file or folder of the workspace as a tar."""
        return await self._do(lambda: self._workspace.download(path))

    async def put(self, archive: bytes, *, to: str) -> None:
        """Unpack a tar in a folder anywhere inside, as root."""
        self._open()
        await self._outside().put(archive, to)

    async def fetch(self, path: str, *, max_bytes: int = READ_CAP) -> bytes | None:
        """Return a file or folder from anywhere inside as a tar; None where there is none."""
        self._open()
        return await self._outside().fetch(path, max_bytes)

    def _outside(self) -> OutsideFiles:
        if self.outside is None or self.spec.root != "writable":
            raise SpecRefused("files outside of the workspace are the system's in this sandbox")
        return self.outside

    async def snapshot(self) -> Snapshot:
        """Remember the workspace as it is now."""
        return await self._do(self._workspace.snapshot)

    async def diff(self, since: Snapshot) -> Diff:
        """Return everything that changed in the workspace since a snapshot."""
        return await self._do(lambda: self._workspace.diff(since))

    async def step(self, since: Snapshot) -> tuple[Diff, Snapshot]:
        """Return the changes since the snapshot of the step before, and a new snapshot."""
        busy = self._busy
        return await self._do(lambda: self._workspace.step(since, busy=busy))

    @property
    def _busy(self) -> bool:
        """Whether anything inside may be alive: a command, or what commands may leave running."""
        return bool(self._running) or self.spec.background

    async def apply(self, diff_archive: bytes, *, protected: Collection[str] = ()) -> tuple[str, ...]:
        """Apply the archive of a diff to the workspace; return the paths that were left out, sorted."""
        return await self._do(lambda: self._workspace.apply(diff_archive, protected))

    async def _do(self, work: Callable[[], T]) -> T:
        self._open()
        return await asyncio.to_thread(work)

    def _open(self) -> None:
        if self._gone:
            raise SandboxClosed(f"sandbox {self.id} was closed")

    async def kill(self) -> None:
        """End every process inside; they are gone when this returns."""
        self._kills += 1
        for running in tuple(self._running):
            await self._end(running)
        await self.launcher.sweep()

    async def _end(self, running: RunningCommand) -> None:
        running.marked_killed()
        await running.end()

    async def close(self) -> None:
        """Kill, unmount and remove everything, even when cancelled meanwhile; twice is as good as once."""
        if self._gone:
            return
        self._gone = True
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait([closing])
            raise

    async def _close(self) -> None:
        try:
            try:
                for shell in self._shells:
                    await shell.close()
                await self.kill()
                await self._disk.aclose()
            finally:
                await self.launcher.aclose()
        finally:
            try:
                await asyncio.to_thread(self._removed)
            finally:
                if self.lease:
                    self.lease.release()
                self.closed(self)

    def _removed(self) -> None:
        with contextlib.suppress(OSError):
            self._workspace.close()
        remove(self.folders.top)


class OpenSandboxes:
    """The open sandboxes of one engine, so that the engine can close them all."""

    def __init__(self) -> None:
        self._open: dict[str, LocalSandbox] = {}

    def add(self, sandbox: LocalSandbox) -> None:
        """Remember an open sandbox."""
        self._open[sandbox.id] = sandbox
        OPEN.labels(sandbox.isolation.engine).inc()

    def forget(self, sandbox: LocalSandbox) -> None:
        """Forget a sandbox that was closed."""
        if self._open.pop(sandbox.id, None):
            OPEN.labels(sandbox.isolation.engine).dec()

    async def close(self) -> None:
        """Close all sandboxes that are open."""
        closed = await asyncio.gather(*(box.close() for box in tuple(self._open.values())), return_exceptions=True)
        for failure in closed:
            if isinstance(failure, Exception):  # the others closed all the same, and so does the engine
                BACKGROUND_FAILURES.labels("closing").inc()
                structlog.get_logger("synthbench.sandbox").error("a sandbox did not close", exc_info=failure)
