"""What every sandbox engine offers, and the values that pass through it.

A sandbox is one isolated place with a workspace. Commands run one at a time or side by side; each is alone with
its children: **a process in the background ends with the command that started it**, unless the spec says otherwise
(`SandboxSpec.background`). Files stay until `close`.
Errors are those of `synthbench.sandbox.errors`; a failing or hanging command is a `RunResult`, not an error.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from synthbench.sandbox.domain.paths import within
from synthbench.sandbox.domain.reach import parse_allowed
from synthbench.sandbox.image import Image, ImageSource
from synthbench.sandbox.inside import Mount, checked_workdir

_T = TypeVar("_T")
PathType = Literal["file", "symlink", "directory"]
ChangeKind = Literal["added", "modified", "deleted"]
LimitHit = Literal["disk", "oom", "timeout", "pids"]
"""*disk*: killed for what it had written; *oom*: the kernel killed something in it for want of memory; *timeout*:
killed because its time was over; *pids*: a fork was refused."""
Network = Literal["none", "allowlist", "public"]
HOSTS_MOST = 100
READ_CAP = 16 * 1024 * 1024  # bytes `read` returns unless told otherwise


def _names(value: Mapping[str, _T]) -> Mapping[str, _T]:
    for name in value:
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            raise ValueError(f"the name {name!r} is not lower-case letters, digits, '-' and '_'")
    return value


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > HOSTS_MOST:
        raise ValueError(f"at most {HOSTS_MOST} hosts can be allowed")
    return tuple(dict.fromkeys(str(parse_allowed(host)) for host in value))


def _variables(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in text:
            raise ValueError(f"{name!r} is not a usable environment variable")
    return value


class Limits(BaseModel):
    """What one sandbox may use, all its processes together unless said otherwise.

    What an engine cannot hold up is named in `Isolation.unenforced`.

    Attributes:
        memory_mb: MiB of memory.
        cpus: CPU seconds a second.
        pids: processes and threads at once.
        files: open file descriptors of each process.
        disk_mb: MiB on disk.
        output_bytes: bytes kept of each stream of each command; the rest is counted and dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_mb: int = Field(default=1024, ge=16)
    cpus: float = Field(default=1.0, gt=0)
    pids: int = Field(default=128, ge=4)
    files: int = Field(default=1024, ge=32)
    disk_mb: int = Field(default=1024, ge=1)
    output_bytes: int = Field(default=1_048_576, ge=1024)


class SandboxSpec(BaseModel):
    """What to make.

    Attributes:
        limits: see `Limits`.
        network: "none": a loopback of its own and nothing else. "allowlist": the same, and a proxy on it that leads
            to `allowed_hosts`; commands find it by the usual variables. "public": to every public address, at the ports
            80 and 443. SpecRefused where the engine or its operator does not offer it.
        allowed_hosts: "example.org", "*.example.org" for every name below it (ports 80 and 443), or with a ":port".
        sockets: name -> Unix socket on the host; the only way out. Inside it is `Sandbox.socket_path(name)`. It must
            exist when a command runs. Where the sandbox has a uid of its own (engines started by root), its maker gives
            it mode 0666; for the process engine the folders above it need the x bit for others, too.
        env: variables for every command, over the engine's own (PATH, HOME, LANG, TMPDIR, …).
        background: what a command leaves running when it ends (`server &`, a daemon) lives until `kill` or `close`, as
            with `docker exec`; what it still prints is dropped. A command that is ended (timeout, cancel, `kill`, disk)
            takes its process group with it. SpecRefused by engines that end everything with its command.
        workdir: where the workspace is seen inside; the process engine cannot offer it and uses a host path.
        image: what it runs from, as `SandboxEngine.image` returned it; None for what the engine always takes.
        root: "writable": everything inside may be changed, and goes with PID 1. The workspace then begins as the
            image's folder at `workdir`; what is changed elsewhere is in no diff.
        user: "root": commands run as root inside, with the few capabilities that installing and serving need.
        mounts: name -> a folder of the host that can be read inside.
        owner: who it belongs to, e.g. "<rollout>.<attempt>"; written beside the files, for whoever cleans up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: str = Field(min_length=1, max_length=200)
    limits: Limits = Limits()
    network: Network = "none"
    allowed_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] = ()
    sockets: Annotated[Mapping[str, Path], AfterValidator(_names)] = {}
    env: Annotated[Mapping[str, str], AfterValidator(_variables)] = {}
    background: bool = False
    workdir: str = "/workspace"
    image: str | None = None
    root: Literal["read-only", "writable"] = "read-only"
    user: Literal["agent", "root"] = "agent"
    mounts: Annotated[Mapping[str, Mount], AfterValidator(_names)] = {}

    @model_validator(mode="after")
    def _places(self) -> "SandboxSpec":
        checked_workdir(self.workdir, writable_root=self.root == "writable")
        if self.root == "writable" and self.user != "root":
            raise ValueError("a writable root is root's: ask for user root as well")
        if bool(self.allowed_hosts) != (self.network == "allowlist"):
            raise ValueError("allowed hosts go with the network allowlist, and it with them")
        for mount in self.mounts.values():
            if within(mount.target, self.workdir) is not None or within(self.workdir, mount.target) is not None:
                raise ValueError(f"the mount at {mount.target} and the workspace at {self.workdir} overlap")
        return self


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a command ended.

    Attributes:
        exit_code: as a shell sees it (128 + n for signal n); None where it was killed: timeout, `kill`, `close`.
        stdout: the bytes kept: the first three quarters of `Limits.output_bytes` and the last quarter.
        stderr: the same of the other stream.
        stdout_total: bytes produced; more than `len(stdout)` means that the middle is missing.
        stderr_total: the same of the other stream.
        stdout_cut: where in `stdout` the missing bytes would be; None where nothing is missing.
        stderr_cut: the same of the other stream.
        timed_out: it was killed because its time was over.
        hit: the limits it ran into, worst first; the kernel's own are known only where a cgroup tells.
        seconds: wall time.
        cwd: the folder in which a shell ended, where `track_cwd` asked for it and the shell could say.
        restarted: the `Shell` ended with this script; the next begins in a new one, in the folder `cwd`.
    """

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    stdout_total: int
    stderr_total: int
    timed_out: bool
    seconds: float
    hit: tuple[LimitHit, ...] = ()
    cwd: str | None = None
    stdout_cut: int | None = None
    stderr_cut: int | None = None
    restarted: bool = False

    @property
    def stdout_text(self) -> str:
        """`stdout` as UTF-8 (anything else replaced), with a line that says what is missing."""
        return _text(self.stdout, self.stdout_total, self.stdout_cut)

    @property
    def stderr_text(self) -> str:
        """`stderr` as UTF-8 (anything else replaced), with a line that says what is missing."""
        return _text(self.stderr, self.stderr_total, self.stderr_cut)


def _text(kept: bytes, total: int, cut: int | None) -> str:
    if cut is None:
        return kept.decode(errors="replace")
    head, tail = kept[:cut].decode(errors="replace"), kept[cut:].decode(errors="replace")
    return f"{head}\n[… {total - len(kept):,} bytes left out …]\n{tail}"


@dataclass(frozen=True, slots=True)
class ChangedPath:
    """One path of the workspace that is not as it was.

    Attributes:
        path: relative to the workdir, with '/'.
        kind: what happened; a rename is one deleted and one added.
        type: what it is now, for a deleted path what it was.
        mode: permission bits.
        digest: "sha256:<hex>" of the content (of a link: of its target); None for folders and unread big files.
        size: bytes; 0 for folders.
    """

    path: str
    kind: ChangeKind
    type: PathType
    mode: int
    digest: str | None
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a snapshot; `stamp` is (mtime_ns, ctime_ns, inode), by which it is not read twice."""

    type: PathType
    mode: int
    digest: str | None
    size: int
    stamp: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A baseline of a workspace. Opaque, and only good for the sandbox that took it."""

    sandbox: str
    taken_ns: int
    entries: Mapping[str, Entry]
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Diff:
    """What changed between a snapshot and now.

    Attributes:
        changes: sorted by path.
        archive: tar, the same bytes for the same changes: added and modified files, folders and safe links; the
            deleted paths are a JSON list in the member ".synthbench-deleted". For `Sandbox.apply`.
        patch: a git-style unified diff of the texts, for people and exports; other files are only named.
        digest: "sha256:<hex>" of the archive.
        refused: (path, reason) of what is not in the archive: devices, setuid files, links out, what is too big.
    """

    changes: tuple[ChangedPath, ...]
    archive: bytes = field(repr=False)
    patch: str = field(repr=False)
    digest: str
    refused: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Isolation:
    """What an engine really offers here; it goes into the record.

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
        """What is held up."""
        ...

    @property
    def refused(self) -> Sequence[str]:
        """Hosts it asked for by its network and may not reach, as "name:port"; each once, at most 50."""
        ...

    @property
    def workdir(self) -> str:
        """The workspace as commands inside see it."""
        ...

    def socket_path(self, name: str) -> str:
        """Where commands inside find a socket of `SandboxSpec.sockets`."""
        ...

    @property
    def image(self) -> str | None:
        """Digest of what it runs from; None where the engine has no images."""
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
        """A shell that stays, until `close` or the sandbox's; commands may run beside it. PathRefused: no such cwd.

        SpecRefused where the engine has none.
        """
        ...

    async def read(self, path: str, *, max_bytes: int = READ_CAP) -> bytes:
        """The content of a regular file; PathRefused where it is missing, larger, or no such file."""
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
        """A file or folder as an uncompressed tar, names relative to it; without devices and links out."""
        ...

    async def put(self, archive: bytes, *, to: str) -> None:
        """Unpack our own tar in a folder anywhere inside, as root; SpecRefused where the root cannot be written."""
        ...

    async def fetch(self, path: str, *, max_bytes: int = READ_CAP) -> bytes | None:
        """A file or folder from anywhere inside as a tar, None where there is none; refused like `put`.

        It is whatever is there: nothing in it is harmless. SandboxError where it is larger than `max_bytes`.
        """
        ...

    async def snapshot(self) -> Snapshot:
        """Remember the workspace as it is."""
        ...

    async def diff(self, since: Snapshot) -> Diff:
        """Everything that changed since. Kill the processes first: a file in motion is caught at some moment."""
        ...

    async def step(self, since: Snapshot) -> tuple[Diff, Snapshot]:
        """What changed since the baseline of the step before, and the new baseline.

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
    """A technology that makes sandboxes."""

    @property
    def name(self) -> str:
        """As in the entry points."""
        ...

    async def probe(self) -> Isolation:
        """Try it out by running something; EngineUnavailable where it does not work."""
        ...

    async def reap(self) -> list[str]:
        """Take away what engines of killed processes left under the same root; return those sandboxes' owners."""
        ...

    async def image(self, source: ImageSource) -> Image:
        """Have an image: what is there, else pull or build it; the same source is the same image.

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
        """A path for a socket that `SandboxSpec.sockets` may name; it goes with the context. Only after `probe`."""
        ...

    async def aclose(self) -> None:
        """Close every sandbox that is still open."""
        ...
