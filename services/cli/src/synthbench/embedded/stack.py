"""Using a stack: attach to the one that runs, or start one and let it end by itself."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from synthbench.client.contact import FORGET
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.waiting import Say, Waiting, say_nothing
from synthbench.embedded.datadir import DataDir, default_data_dir
from synthbench.embedded.stack_options import StackOptions, mismatch
from synthbench.embedded.status import failure_of, first_problem, stack_status

_START_SECONDS = 120.0
_STOP_SECONDS = 900.0
_POLL_SECONDS = 0.05
_LOOK_SECONDS = 0.25
"""A command that stops a stack looks so often what it still does."""
_NEEDED = ("SYNTHBENCH_SCHEDULER_URL", "SYNTHBENCH_COLLECTOR_URL", "SYNTHBENCH_ARTIFACTS_URL")
_MAY_BE = ("SYNTHBENCH_NATS_USER", "SYNTHBENCH_NATS_PASSWORD", "SYNTHBENCH_GATEWAY_ADMIN_URL", "SYNTHBENCH_API_TOKEN")
SHELL_VARIABLES = ("NATS_URL", "NATS_USER", "NATS_PASSWORD", "SYNTHBENCH_NATS_URL", *_NEEDED, *_MAY_BE)
"""Variables that `synth-bench env` prints."""


def remote_endpoints() -> Endpoints | None:
    """A stack that the environment names (compose, Kubernetes); None for the embedded one.

    The embedded stack is not another one because `synth-bench env` put its addresses into the environment.

    Raises:
        CliError: the environment names a part of a stack.
    """
    url = os.environ.get("SYNTHBENCH_NATS_URL")
    if not url or url == _running_here():
        return None
    missing = [name for name in _NEEDED if not os.environ.get(name)]
    if missing:
        raise CliError(
            f"SYNTHBENCH_NATS_URL names a stack, but {', '.join(missing)} is missing; "
            f"set it, or forget that stack: {FORGET}"
        )
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
        elsewhere=True,
    )


def _running_here() -> str | None:
    """Return the bus's URL of the stack that runs in the data folder; makes no folder."""
    if not (default_data_dir() / "run" / "stack.json").exists():
        return None
    data = DataDir()
    found = Endpoints.load(data.stack_file) if stack_status(data) else None
    return found.nats_url if found else None


@asynccontextmanager
async def using_stack(
    data: DataDir | None = None, options: StackOptions | None = None, say: Say = say_nothing
) -> AsyncGenerator[Endpoints]:
    """Yield the endpoints of a stack that lives at least as long as the block.

    Args:
        data: the data folder of the embedded stack.
        options: what the command asks of the stack.
        say: takes what a long start waits for.

    Raises:
        CliError: it cannot be started; or the running one was started with other settings than asked for.
    """
    wanted = options or StackOptions()
    remote = remote_endpoints()
    if remote is not None:
        wanted.refuse_elsewhere()
        yield remote
        return
    folder = data or DataDir()
    with folder.shared("clients"):
        endpoints = Endpoints.load(folder.stack_file) if (status := stack_status(folder)) else None
        if endpoints is None:
            endpoints = await _start(folder, wanted, say, stay=False)
        else:
            _check_fits(folder, status or {}, wanted)
        yield endpoints


def _check_fits(data: DataDir, status: dict[str, Any], wanted: StackOptions) -> None:
    if reason := mismatch(status.get("options") or {}, status.get("pools", []), wanted, data.secret("fingerprints")):
        raise CliError(f"the running stack {reason}; run `synth-bench down` first, and then this again")


async def start_to_stay(data: DataDir, options: StackOptions, say: Say = say_nothing) -> Endpoints:
    """Start a stack that goes on until `down`; one that runs already is asked to stay.

    Raises:
        CliError: it cannot be started; or the running one was started with other settings than asked for.
    """
    with data.shared("clients"):
        endpoints = Endpoints.load(data.stack_file) if (status := stack_status(data)) else None
        if endpoints is not None:
            _check_fits(data, status or {}, options)
            data.stay_file.touch()
            return endpoints
        return await _start(data, options, say, stay=True)


async def _start(data: DataDir, options: StackOptions, say: Say, *, stay: bool) -> Endpoints:
    """Start the supervisor in a session of its own, so that the terminal's Ctrl-C is ours alone."""
    from synthbench.embedded.room import require_room  # noqa: PLC0415 - every event, for the one command that starts

    data.failure_file.unlink(missing_ok=True)
    require_room(data)
    command = [sys.executable, "-m", "synthbench.embedded.supervisor", "--data-dir", str(data.path)]
    command += ["--stay"] if stay else []
    command += options.arguments()
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with (data.logs / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; it only has to be started
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=env
        )
    deadline = time.monotonic() + _START_SECONDS
    waiting = Waiting(say)
    while True:
        status = stack_status(data)
        if status and (found := Endpoints.load(data.stack_file)):
            if status["supervisor"] != process.pid:  # another command was quicker: ours is still waiting for the lock
                process.terminate()
                await asyncio.to_thread(process.wait)
                _check_fits(data, status, options)
            if status.get("problems") and not stay:
                raise CliError(f"the stack did not start whole: {first_problem(status)}")
            return found
        if process.poll() is not None:
            reason = failure_of(data) or f"see {data.logs / 'supervisor.log'}"
            raise CliError(f"the stack did not start: {reason}")
        if time.monotonic() > deadline:
            process.terminate()
            raise CliError(f"the stack did not start within {_START_SECONDS:g} s; see {data.logs}")
        waiting(_starting(status, process.pid, data))
        await asyncio.sleep(_POLL_SECONDS)


def _starting(status: dict[str, Any] | None, supervisor: int, data: DataDir) -> str:
    """Return, for people, what a start waits for at this moment."""
    if status and status["supervisor"] != supervisor:
        left = status.get("left") or "its processes end"
        return f"the stack that ran before in {data.path}, which is {status['state']}: {left}"
    there = len((status or {}).get("processes") or {})
    return f"the stack to start in {data.path} (bus, database, six services): {there} processes run"


async def stop_stack(data: DataDir, say: Say = say_nothing, *, now: bool) -> bool:
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
        waiting = Waiting(say)
        while not await _ends_soon(supervisor):  # the lock is given back a moment before the process ends
            if time.monotonic() > deadline:
                raise CliError(
                    f"the stack (process {pid}) still has work after {_STOP_SECONDS:g} s; `down --now` stops it"
                )
            left = (stack_status(data) or {}).get("left") or "its processes to end"
            waiting(f"the stack to stop: {left}" + ("" if now else "; `synth-bench down --now` does not wait for work"))
    finally:
        os.close(supervisor)
    return True


async def _ends_soon(pidfd: int) -> bool:
    """Wait a moment for the end of a process, and return whether it ended."""
    from synthbench.sandbox.host.pidfds import wait_for_end  # noqa: PLC0415 - only who stops a stack needs the sandboxes

    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            await wait_for_end(pidfd)
    except TimeoutError:
        return False
    return True
