"""`doctor`: tries everything out, and says how to mend what does not work."""

import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx

from synthbench.cli import console
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.embedded.room import needed_bytes, require_room
from synthbench.embedded.status import stack_status
from synthbench.sandbox.engines import known_engines, load_engine
from synthbench.sandbox.errors import SandboxError
from synthbench.storage.errors import DatabaseUnavailable, MigrationError
from synthbench.storage.migrations import migrate_all

_SECONDS = 60.0


async def doctor() -> int:
    """Try out what a stack needs on this machine, and say how to mend what is missing."""
    findings: list[tuple[str, bool, str]] = []
    data: DataDir | None = None
    try:
        data = DataDir()
        findings.append(("data folder", True, str(data.path)))
        if stack_status(data) is None:  # a running stack has its room
            findings.append(await _try("room", lambda: _room(data)))
    except CliError as error:
        findings.append(("data folder", False, str(error)))
    findings.append(("python", sys.version_info >= (3, 11), f"{platform.python_version()} on {platform.platform()}"))
    # Below the data folder: there Postgres' own user can reach it, as it must in the real stack.
    with tempfile.TemporaryDirectory(dir=data.path if data else None, prefix="doctor-") as name:
        folder = Path(name)
        os.chmod(folder, 0o711)  # noqa: PTH101, S103 - Postgres' own user must be able to enter
        findings.append(await _try("nats-server", lambda: _nats(folder)))
        findings.append(await _try("postgres", lambda: _postgres(folder)))
        engines = [await _try(f"sandbox {engine}", lambda e=engine: _engine(e, folder)) for engine in known_engines()]
    findings += engines
    if url := os.environ.get("SYNTHBENCH_UPSTREAM_BASE_URL"):
        findings.append(await _try("model provider", lambda: _upstream(url)))
    if data is not None:
        running = stack_status(data)
        findings.append(
            ("stack", True, f"{running['state']}, supervisor {running['supervisor']}" if running else "not running")
        )
    rows = [["ok" if good else "FAILED", name, finding] for name, good, finding in findings]
    console.table(["", "what", "found"], rows)
    broken = [name for name, good, _ in findings if not good and not name.startswith("sandbox")]
    if not any(good for _, good, _ in engines):
        broken.append("sandbox")
    if broken:
        console.fail(f"not ready: {', '.join(broken)}")
        return 1
    console.say("ready")
    return 0


async def _try(name: str, work: Callable[[], Awaitable[str]]) -> tuple[str, bool, str]:
    try:
        return name, True, await asyncio.wait_for(work(), _SECONDS)
    except TimeoutError:
        return name, False, f"no answer within {_SECONDS:g} s"
    except (CliError, SandboxError, DatabaseUnavailable, MigrationError, OSError, httpx.HTTPError) as error:
        return name, False, str(error) or type(error).__name__


async def _room(data: DataDir) -> str:
    require_room(data)
    return f"{data.free_bytes() >> 20} MiB free, {needed_bytes(data) >> 20} are needed"


async def _nats(folder: Path) -> str:
    server = EmbeddedNats(folder / "nats", folder / "nats.log")
    try:
        await server.start()
        return f"answers on {server.url}"
    finally:
        await server.stop()


async def _postgres(folder: Path) -> str:
    server = EmbeddedPostgres(folder / "postgres", folder / "postgres.log", "doctor", durable=False)
    try:
        await server.start()
        return f"starts, {len(await asyncio.to_thread(migrate_all, server.dsn))} migrations apply"
    finally:
        await server.stop()


async def _engine(name: str, folder: Path) -> str:
    engine = load_engine(name, root=folder / "sandboxes")
    try:
        found = await engine.probe()
    finally:
        await engine.aclose()
    lost = f"; not enforced: {'; '.join(found.unenforced)}" if found.unenforced else ""
    return f"{found.version}, {'isolated' if found.isolated else 'NOT ISOLATED: library tasks with sim/* only'}{lost}"


async def _upstream(url: str) -> str:
    key = os.environ.get("SYNTHBENCH_UPSTREAM_API_KEY", "")
    async with httpx.AsyncClient(timeout=10) as client:
        response = await client.get(
            f"{url.rstrip('/')}/models", headers={"authorization": f"Bearer {key}"} if key else {}
        )
    if response.status_code in (401, 403):
        raise CliError(f"{url} refuses the key ({response.status_code}); check SYNTHBENCH_UPSTREAM_API_KEY")
    return f"{url} answers {response.status_code}"
