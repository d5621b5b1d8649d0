"""One cgroup for each sandbox, below the group this process is in, so that limits put on the whole service still hold.

Works with cgroup v1 (several mounts) and v2 (one). Whatever cannot be had is named, with its reason, for the record.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthbench.sandbox.host.claims import NameClaim
from synthbench.sandbox.spec import SandboxLimits

CONTROLLERS = ("memory", "cpu", "pids")
_GONE = 5.0  # seconds until the kernel lets go of an empty group


@dataclass(frozen=True)
class Counts:
    """The counts of what the kernel refused the processes of one sandbox."""

    oom_kills: int = 0
    refused_forks: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Add the counts of two groups that a sandbox had one after the other."""
        return Counts(self.oom_kills + other.oom_kills, self.refused_forks + other.refused_forks)


@dataclass(frozen=True)
class Cgroup:
    """The groups of one sandbox: one folder for each v1 controller, or one for all in v2."""

    folders: Mapping[str, Path]
    claim: NameClaim | None = None
    """The claim of its maker, by which anybody can tell a living group from one that was left behind."""

    def add(self, pid: int) -> None:
        """Move a process in; its later children are in, too."""
        for folder in dict.fromkeys(self.folders.values()):
            with open(f"{folder}/cgroup.procs", "wb", buffering=0) as file:  # noqa: PTH123 - pathlib costs as much as the kernel here
                file.write(b"%d" % pid)

    def counts(self) -> Counts:
        """Return how often the kernel refused something so far."""
        return Counts(
            oom_kills=self._count("memory", ("memory.events", "memory.oom_control"), "oom_kill"),
            refused_forks=self._count("pids", ("pids.events",), "max"),
        )

    def _count(self, controller: str, files: Sequence[str], field: str) -> int:
        folder = self.folders.get(controller)
        if folder is None:
            return 0
        for name in files:
            try:  # read around each command: pathlib costs more than the kernel here
                with open(f"{folder}/{name}", "rb", buffering=0) as file:  # noqa: PTH123 - as said
                    lines = file.read(4096).decode().splitlines()
            except FileNotFoundError:
                continue
            return int(dict(line.split(" ", 1) for line in lines).get(field, "0"))
        return 0

    async def destroy(self) -> None:
        """Kill what is in it, and remove it; a group that is not there is fine."""
        for folder in dict.fromkeys(self.folders.values()):
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        await self.remove()

    async def remove(self) -> None:
        """Remove it; its processes are gone already."""
        for folder in dict.fromkeys(self.folders.values()):
            deadline = asyncio.get_running_loop().time() + _GONE
            while True:
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    if asyncio.get_running_loop().time() > deadline:
                        raise
                    await asyncio.sleep(0.01)
                else:
                    break
        if self.claim:
            self.claim.release()


@dataclass(frozen=True)
class Cgroups:
    """The folders in which cgroups can be made here, by controller; the reasons for the others in `missing`."""

    parents: Mapping[str, Path]
    missing: Mapping[str, str]

    def existing(self, name: str) -> Cgroup:
        """The group of a sandbox that somebody else made."""
        return Cgroup({controller: parent / f"synthbench-{name}" for controller, parent in self.parents.items()})

    def create(self, name: str, limits: SandboxLimits) -> Cgroup:
        """Make a group; OSError where it fails, with nothing left behind."""
        created: dict[str, Path] = {}
        claim = NameClaim(name)
        try:
            for controller, parent in self.parents.items():
                folder = parent / f"synthbench-{name}"
                folder.mkdir(exist_ok=True)
                created[controller] = folder
                for file, value in _settings(controller, limits, v2=_is_v2(parent)):
                    if (folder / file).exists():  # memsw and swap are not in every kernel
                        (folder / file).write_text(value)
        except OSError:
            for folder in dict.fromkeys(created.values()):
                folder.rmdir()
            claim.release()
            raise
        return Cgroup(created, claim)


def find_cgroups(*, mounts: str | None = None, own: str | None = None) -> Cgroups:
    """Try which controllers can be used.

    Args:
        mounts: the text of /proc/self/mountinfo (for tests).
        own: the text of /proc/self/cgroup (for tests).
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
        own = Path("/proc/self/cgroup").read_text() if own is None else own
    except OSError as error:
        return Cgroups({}, dict.fromkeys(CONTROLLERS, f"no cgroups ({error.strerror})"))
    places = _places(mounts, own)
    parents: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for controller in CONTROLLERS:
        folder = places.get(controller) or places.get("")
        reason = "no cgroup file system" if folder is None else _try(folder, controller)
        if folder is not None and not reason:
            parents[controller] = folder
        else:
            missing[controller] = reason
    return Cgroups(parents, missing)


def _places(mounts: str, own: str) -> dict[str, Path]:
    """This process's group of each controller ("" for v2), as a folder."""
    groups: dict[str, str] = {}
    for line in own.splitlines():
        _, names, path = line.split(":", 2)
        groups.update(dict.fromkeys(names.split(","), path))
    places: dict[str, Path] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind not in {"cgroup", "cgroup2"}:
            continue
        for name in [""] if kind == "cgroup2" else options.split(","):
            if name in groups and (not name) == (kind == "cgroup2"):
                below = groups[name].removeprefix(root.rstrip("/")).lstrip("/")
                places[name] = Path(point) / below
    return places


def _try(folder: Path, controller: str) -> str:
    """Make a group and remove it; "" or the reason why it did not work."""
    probe = folder / f"synthbench-probe-{os.getpid()}-{controller}"
    try:
        if _is_v2(folder):
            if controller not in (folder / "cgroup.controllers").read_text().split():
                return "the controller is not delegated to this service's cgroup"
            if controller not in (folder / "cgroup.subtree_control").read_text().split():
                (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        if error.errno == 16:  # EBUSY: v2 allows processes in leaves only
            return "this service's own cgroup holds processes; start it in a leaf of a delegated cgroup"
        return f"no writable cgroup ({error.strerror})"
    return ""


def _is_v2(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()


def _settings(controller: str, limits: SandboxLimits, *, v2: bool) -> list[tuple[str, str]]:
    memory = str(limits.memory_mb * 1024 * 1024)
    quota = str(max(1000, round(limits.cpus * 100_000)))
    pids = str(limits.pids)
    if v2:
        return {
            "memory": [("memory.max", memory), ("memory.swap.max", "0")],
            "cpu": [("cpu.max", f"{quota} 100000")],
            "pids": [("pids.max", pids)],
        }[controller]
    return {
        "memory": [("memory.limit_in_bytes", memory), ("memory.memsw.limit_in_bytes", memory)],
        "cpu": [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", quota)],
        "pids": [("pids.max", pids)],
    }[controller]
