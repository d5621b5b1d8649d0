"""What stacks, engines and killed processes left on this machine: nothing may be without a living owner.

Looks for itself, at the kernel and at Docker; of the product it takes only the names that things are marked with.
"""

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_UIDS = range(200_000, 210_000)
_TEMP = Path("/tmp")
_LABEL = "synth-bench.root"


def left_behind(folder: Path, *, running: bool = False, seconds: float = 60) -> list[str]:
    """What is there without an owner, and does not go within a minute.

    Args:
        folder: of the stack's data; sandboxes lie below it.
        running: the stack is up, and has nothing to do: its processes, folders and what is kept warm are its own.
        seconds: how long the reaper and the engine have.
    """
    deadline = time.monotonic() + seconds
    while (found := _now(folder, running=running)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def _now(folder: Path, *, running: bool) -> list[str]:
    claimed = _claimed()
    kinds: dict[str, Iterable[str]] = {
        "sandbox": _sandboxes(folder, running=running),
        "engine": _engines(folder),
        "process": [*_strays(claimed), *([] if running else _naming(folder))],
        "mount": [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line],
        "control group": _groups(claimed),
        "link": _links(folder),
        "file": [] if running else _files(folder),
        **_in_docker(folder),
    }
    return [f"{kind}: {one}" for kind, found in kinds.items() for one in found]


def _claimed() -> set[str]:
    """Names that living processes hold: "uid-N" and sandboxes' groups. Source: proc_net(5)."""
    names = (line.rpartition(" ")[2] for line in Path("/proc/net/unix").read_text().splitlines())
    return {name.removeprefix("@synthbench-") for name in names if name.startswith("@synthbench-")}


def _sandboxes(folder: Path, *, running: bool) -> Iterator[str]:
    for place in folder.glob("sandboxes/*/*"):
        if place.name.startswith("."):
            continue
        try:
            owner, engine = (place / "owner").read_text(), (place / "engine").read_text()
        except OSError:
            owner, engine = "nobody", ""
        if not running or owner != "warm" or not _alive(place.parent / engine):
            yield f"{place} of {owner}"


def _engines(folder: Path) -> Iterator[str]:
    """Folders of engines whose process is dead, and what living ones still keep for single sandboxes."""
    for place in folder.glob("sandboxes/*/.engine-*"):
        if place.suffix != ".lock" and not _alive(place):
            yield str(place)
    yield from map(str, folder.glob("sandboxes/*/.engine-*/sockets-*"))


def _alive(engine: Path) -> bool:
    try:
        with engine.with_name(engine.name + ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _strays(claimed: set[str]) -> Iterator[str]:
    """Processes of sandboxes' users whom nobody holds any more."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            uid = process.stat().st_uid
            dead = b") Z" in (process / "stat").read_bytes()
            if uid in _UIDS and not dead and f"uid-{uid}" not in claimed:
                yield f"{process.name} of uid {uid}: {(process / 'cmdline').read_text()!r}"
        except OSError:
            continue


def _naming(folder: Path) -> Iterator[str]:
    for path in set(Path("/proc").glob("[0-9]*/cmdline")) - {Path(f"/proc/{os.getpid()}/cmdline")}:
        try:
            if str(folder) in path.read_bytes().decode(errors="replace"):
                yield path.read_text()
        except OSError:
            continue


def _groups(claimed: set[str]) -> Iterator[str]:
    for above, names, _ in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name.startswith("synthbench-") and name.removeprefix("synthbench-") not in claimed:
                yield f"{above}/{name}"


def _links(folder: Path) -> Iterator[str]:
    for link in _TEMP.glob("sb-*"):
        if link.is_symlink() and link.readlink().is_relative_to(folder):
            yield f"{link} -> {link.readlink()}"


def _files(folder: Path) -> Iterator[str]:
    """What a stack that is down has no use for."""
    run = folder / "run"
    if run.is_dir():
        yield from (str(path) for path in run.iterdir() if path.suffix != ".lock")
    yield from (str(path) for path in folder.rglob("*") if path.is_socket() or path.is_fifo())


def _in_docker(folder: Path) -> dict[str, list[str]]:
    """Containers, networks and volumes whose label names the folder; none where no engine answers."""
    import docker  # noqa: PLC0415 - only where there may be an engine
    import docker.errors  # noqa: PLC0415 - as above

    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return {}
    try:
        client: Any = docker.from_env()
    except docker.errors.DockerException:
        return {}
    try:
        wanted = {"label": _LABEL}
        found: dict[str, list[Any]] = {
            "container": client.api.containers(all=True, filters=wanted),
            "network": client.api.networks(filters=wanted),
            "volume": client.api.volumes(filters=wanted)["Volumes"] or [],
        }
    finally:
        client.close()
    return {kind: [name for one in those if (name := _dead(kind, one, folder))] for kind, those in found.items()}


def _dead(kind: str, one: Any, folder: Path) -> str:
    """Its name, if it is of this stack, and the process that made it is dead."""
    labels = one.get("Labels") or {}
    root = Path(labels.get(_LABEL, "/"))
    if not root.is_relative_to(folder) or _alive(root / labels.get("synth-bench.engine", "-")):
        return ""
    return f"{(one.get('Names') or [one.get('Name')])[0]} ({kind} of {root})"
