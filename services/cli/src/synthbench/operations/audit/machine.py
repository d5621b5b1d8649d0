"""Sandboxes, processes, mounts, control groups and containers that attempts left behind on this machine."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Any

import psycopg

from synthbench.operations.audit.findings import CULPRITS, RECORD, Finding
from synthbench.sandbox.docker.api import NAME_LABEL, ROOT_LABEL, DockerApi
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.host.claims import claimed

_SANDBOX_UIDS = range(200_000, 210_000)
_LEAVING_SECONDS = 3.0
"""A container is removed a moment after its sandbox."""


async def check_machine(connection: psycopg.AsyncConnection[Any], sandboxes: Path) -> AsyncGenerator[Finding]:
    """Look for sandboxes, processes, mounts and control groups that are left behind after their attempt."""
    rows = await connection.execute(RECORD["open_attempts"])
    live = {row["owner"] for row in await rows.fetchall()}
    for finding in await asyncio.to_thread(_machine, live, sandboxes):
        yield finding


def _machine(live: set[str], sandboxes: Path) -> Iterable[Finding]:
    folders = _folders(sandboxes)
    living = claimed()  # also what another stack of this machine is at work with
    groups = _groups()
    processes = [(pid, uid) for pid, uid in _processes() if uid in _SANDBOX_UIDS]
    living |= claimed()
    left = [
        f"{name} of {owner}"
        for name, owner in folders.items()
        if owner.removesuffix(".code").removesuffix(".tests") not in live
        and not owner.startswith(("verification.", "warm"))
    ]
    strays = [f"process {pid} of uid {uid}" for pid, uid in processes if f"uid-{uid}" not in living]
    orphans = [str(path) for path in groups if _name(path) not in living]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(sandboxes) in line]
    return [
        Finding("no sandbox outlives its attempt", left[:CULPRITS], f"{len(folders)} there now"),
        Finding("no control group is left behind", orphans[:CULPRITS]),
        Finding("no process of a sandbox is left behind", strays[:CULPRITS]),
        Finding("no mount is left behind", mounts[:CULPRITS]),
        Finding("no container is left behind", _containers(sandboxes / "docker")[:CULPRITS]),
    ]


def _groups() -> list[Path]:
    """Return our control groups. They come and go meanwhile, which `Path.rglob` does not bear."""
    walked = os.walk("/sys/fs/cgroup")
    return [Path(folder, name) for folder, names, _ in walked for name in names if name.startswith("synthbench-")]


def _folders(root: Path) -> dict[str, str]:
    folders: dict[str, str] = {}
    for folder in root.glob("*/[!.]*"):
        try:
            folders[folder.name] = (folder / "owner").read_text()
        except OSError:
            continue  # an engine's own folder, or one that is just being made or removed
    return folders


def _name(group: Path) -> str:
    return group.name.removeprefix("synthbench-")


def _processes() -> Iterable[tuple[int, int]]:
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if b") Z" not in (path / "stat").read_bytes():
                    yield int(path.name), path.stat().st_uid
            except OSError:
                continue


def _containers(root: Path) -> Sequence[str]:
    """Return the names of containers that stay although their sandbox is gone."""
    if not root.is_dir():
        return []
    try:
        api = DockerApi()
    except SandboxError as error:  # without an engine no container runs; one that was there left folders of sandboxes
        left = [path.name for path in root.iterdir() if not path.name.startswith(".")]
        return [f"{name}: {error}" for name in left]
    try:
        left = _without_folder(api, root)
        if left:
            time.sleep(_LEAVING_SECONDS)
            left &= _without_folder(api, root)
    finally:
        api.close()
    return sorted(left)


def _without_folder(api: DockerApi, root: Path) -> set[str]:
    found = api.containers(ROOT_LABEL, str(root))
    return {one.name for one in found if not (root / one.labels.get(NAME_LABEL, "-")).is_dir()}
