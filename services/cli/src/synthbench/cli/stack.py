"""Using a stack: attach to the one that runs, or start one and let it end by itself."""

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.endpoints import Endpoints
from synthbench.cli.errors import CliError

_START_SECONDS = 120.0
_STOP_SECONDS = 900.0
_POLL_SECONDS = 0.02


def remote_endpoints() -> Endpoints | None:
    """A stack that the environment names (compose, Kubernetes); None for the embedded one."""
    url = os.environ.get("SYNTHBENCH_NATS_URL")
    if not url:
        return None
    missing = [
        n
        for n in ("SYNTHBENCH_SCHEDULER_URL", "SYNTHBENCH_COLLECTOR_URL", "SYNTHBENCH_ARTIFACTS_URL")
        if n not in os.environ
    ]
    if missing:
        raise CliError(f"SYNTHBENCH_NATS_URL names a stack, but {', '.join(missing)} is missing")
    token = os.environ.get("SYNTHBENCH_API_TOKEN")
    return Endpoints(
        nats_url=url,
        nats_user=os.environ.get("SYNTHBENCH_NATS_USER", ""),
        nats_password=SecretStr(os.environ.get("SYNTHBENCH_NATS_PASSWORD", "")),
        scheduler_url=os.environ["SYNTHBENCH_SCHEDULER_URL"],
        collector_url=os.environ["SYNTHBENCH_COLLECTOR_URL"],
        gateway_admin_url=os.environ.get("SYNTHBENCH_GATEWAY_ADMIN_URL", ""),
        artifacts_url=os.environ["SYNTHBENCH_ARTIFACTS_URL"],
        api_token=SecretStr(token) if token else None,
    )


def stack_status(data: DataDir) -> dict[str, Any] | None:
    """What the supervisor says of its stack; None where none runs.

    A running one holds the lock. Its process id would prove nothing: after a crash it may be somebody else's.
    """
    try:
        status: dict[str, Any] = json.loads((data.sub("run") / "status.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return status if data.is_locked("stack") else None


@asynccontextmanager
async def using_stack(data: DataDir | None = None, *, sandbox: str | None = None) -> AsyncGenerator[Endpoints]:
    """Yield the endpoints of a stack that lives at least as long as the block.

    Raises:
        CliError: it cannot be started; or the running one was started with other settings than asked for.
    """
    remote = remote_endpoints()
    if remote is not None:
        yield remote
        return
    folder = data or DataDir()
    with folder.shared("clients"):
        endpoints = Endpoints.load(folder.stack_file) if stack_status(folder) else None
        if endpoints is None:
            endpoints = await _start(folder, stay=False, sandbox=sandbox)
        else:
            _check_fits(stack_status(folder) or {}, sandbox)
        yield endpoints


def _check_fits(status: dict[str, Any], sandbox: str | None) -> None:
    if sandbox and sandbox not in status.get("pools", []):
        pools = ", ".join(status.get("pools", []))
        raise CliError(f"the running stack has the sandbox engine {pools}, not {sandbox}; run `synth-bench down` first")
    wanted = os.environ.get("SYNTHBENCH_UPSTREAM_BASE_URL")
    if wanted and wanted != status.get("upstream"):
        raise CliError(
            f"the running stack's models are at {status.get('upstream') or 'no upstream'}, not {wanted}; "
            "run `synth-bench down` first"
        )


async def start_to_stay(data: DataDir, *, sandbox: str | None = None, replicas: int = 1) -> Endpoints:
    """Start a stack that goes on until `down`; one that runs already is asked to stay."""
    with data.shared("clients"):
        endpoints = Endpoints.load(data.stack_file) if stack_status(data) else None
        if endpoints is not None:
            _check_fits(stack_status(data) or {}, sandbox)
            (data.sub("run") / "stay").touch()
            return endpoints
        return await _start(data, stay=True, sandbox=sandbox, replicas=replicas)


async def _start(data: DataDir, *, stay: bool, sandbox: str | None, replicas: int = 1) -> Endpoints:
    """Start the supervisor in a session of its own, so that the terminal's Ctrl-C is ours alone."""
    failure = data.sub("run") / "failure"
    failure.unlink(missing_ok=True)
    command = [sys.executable, "-m", "synthbench.cli.supervisor", "--data-dir", str(data.path)]
    command += ["--stay"] if stay else []
    command += ["--sandbox", sandbox] if sandbox else []
    command += ["--replicas", str(replicas)]
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (data.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; it only has to be started
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
        )
    deadline = time.monotonic() + _START_SECONDS
    while True:
        status = stack_status(data)
        if status and (found := Endpoints.load(data.stack_file)):
            if status["supervisor"] != process.pid:  # another command was quicker: ours is still waiting for the lock
                process.terminate()
                await asyncio.to_thread(process.wait)
                _check_fits(status, sandbox)
            return found
        if process.poll() is not None:
            said = failure.read_text() if failure.exists() else f"see {data.logs / 'supervisor.log'}"
            raise CliError(f"the stack did not start: {said}")
        if time.monotonic() > deadline:
            process.terminate()
            raise CliError(f"the stack did not start within {_START_SECONDS:g} s; see {data.logs}")
        await asyncio.sleep(_POLL_SECONDS)


async def stop_stack(data: DataDir, *, now: bool) -> bool:
    """Stop the running stack, and wait until it is gone; False where none runs.

    Raises:
        CliError: it does not end.
    """
    status = stack_status(data)
    if status is None:
        return False
    pid: int = status["supervisor"]
    try:
        supervisor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(supervisor, signal.SIGINT if now else signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while not select.select([supervisor], [], [], 0)[0]:  # the lock is given back a moment before the process ends
            if time.monotonic() > deadline:
                raise CliError(
                    f"the stack (process {pid}) still has work after {_STOP_SECONDS:g} s; `down --now` stops it"
                )
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        os.close(supervisor)
    return True


def failure_of(data: DataDir) -> str | None:
    """Why the stack ended, if it failed."""
    path = data.sub("run") / "failure"
    return path.read_text() if path.exists() else None
