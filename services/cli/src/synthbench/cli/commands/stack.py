"""`up`, `down`, `status`, `logs`: the embedded stack."""

import asyncio
import contextlib
import shlex
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.commands.campaigns import paused_campaigns
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.embedded.layout import SERVICES
from synthbench.cli.endpoints import Endpoints
from synthbench.cli.errors import CliError
from synthbench.cli.session import session
from synthbench.cli.stack import stack_status, start_to_stay, stop_stack
from synthbench.contracts.loose import as_list, as_object

_FOLLOW_SECONDS = 0.3
_MAX_REPLICAS = 8


async def up(*, sandbox: str | None = None, replicas: int = 1) -> None:
    """Start the stack and leave it running.

    Args:
        sandbox: bubblewrap or process; by default the best one that works here.
        replicas: Processes of each service.
    """
    if not 1 <= replicas <= _MAX_REPLICAS:
        raise CliError(f"--replicas: 1 to {_MAX_REPLICAS}", exit_code=2)
    data = DataDir()
    endpoints = await start_to_stay(data, sandbox=sandbox, replicas=replicas)
    console.say(
        f"up: bus {endpoints.nats_url}, submissions {endpoints.scheduler_url}, trajectories {endpoints.collector_url}"
    )
    console.say(f"data in {data.path}; `synth-bench down` stops it when its work is done")


async def down(*, now: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Stop the stack, once everything that was submitted is curated.

    Args:
        now: Do not wait; what is unfinished goes on at the next start.
    """
    if await stop_stack(DataDir(), now=now):
        console.say("stopped")
    else:
        console.say("no stack is running")


async def status() -> int:
    """Show the stack's processes and its open submissions."""
    data = DataDir()
    found = stack_status(data)
    if found is None:
        console.say(f"no stack is running in {data.path}; `synth-bench up` starts one")
        return 1
    rows = [[name, str(pid), found["urls"].get(name, "")] for name, pid in found["processes"].items()]
    rows.append(["supervisor", str(found["supervisor"]), found["state"]])
    console.table(["process", "pid", "address"], rows)
    if found["state"] == "up":
        async with session(data) as client:
            listed = await client.find("/v1/submissions", service="scheduler", params={"limit": 20})
            paused = await paused_campaigns(client)
        columns = ["submission_id", "campaign", "state", "created_at"]
        submissions = as_list(as_object(listed).get("submissions"))
        console.table(columns, [[str(as_object(one).get(column, "")) for column in columns] for one in submissions])
        for campaign in paused:
            console.say(f"paused: {campaign['reason']}")
    return 0


def env() -> None:
    """Print where the running stack is, and the client's password, as shell variables for `eval`.

    `NATS_*` is what NATS's own tools read; with `SYNTHBENCH_*` our commands use that stack from any folder.

    Raises:
        CliError: none runs.
    """
    data = DataDir()
    found = Endpoints.load(data.stack_file) if stack_status(data) else None
    if found is None:
        raise CliError(f"no stack is running in {data.path}; `synth-bench up` starts one")
    token = found.api_token.get_secret_value() if found.api_token else ""
    values = {
        "NATS_URL": found.nats_url,
        "NATS_USER": found.nats_user,
        "NATS_PASSWORD": found.nats_password.get_secret_value(),
        "SYNTHBENCH_NATS_URL": found.nats_url,
        "SYNTHBENCH_NATS_USER": found.nats_user,
        "SYNTHBENCH_NATS_PASSWORD": found.nats_password.get_secret_value(),
        "SYNTHBENCH_SCHEDULER_URL": found.scheduler_url,
        "SYNTHBENCH_COLLECTOR_URL": found.collector_url,
        "SYNTHBENCH_GATEWAY_ADMIN_URL": found.gateway_admin_url,
        "SYNTHBENCH_ARTIFACTS_URL": found.artifacts_url,
        "SYNTHBENCH_API_TOKEN": token,
    }
    for name, value in values.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


async def logs(
    service: str | None = None,
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    lines: int = 50,
) -> None:
    """Show log lines of the stack.

    Args:
        service: One of the six services, nats, postgres or supervisor; all by default.
        follow: Go on until Ctrl-C.
        lines: How many of each.
    """
    data = DataDir()
    known = [*map(str, SERVICES), "nats", "postgres", "supervisor"]
    if service is not None and service.replace("-", "_") not in known:
        raise CliError(f"there is no service {service!r}; there are {', '.join(known)}")
    paths = [data.logs / f"{name}.log" for name in ([service.replace("-", "_")] if service else known)]
    positions = {path: _last_lines(path, lines) for path in paths}
    while follow:
        await asyncio.sleep(_FOLLOW_SECONDS)
        for path in paths:
            positions[path] = _since(path, positions[path])


def _last_lines(path: Path, count: int) -> int:
    """Print the last lines; return where the file ends."""
    with contextlib.suppress(FileNotFoundError):
        content = path.read_bytes()
        for line in content.decode("utf-8", errors="replace").splitlines()[-count:]:
            sys.stdout.write(f"{path.stem:<12} {line}\n")
        return len(content)
    return 0


def _since(path: Path, position: int) -> int:
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(position)
        for line in file.read().decode("utf-8", errors="replace").splitlines():
            sys.stdout.write(f"{path.stem:<12} {line}\n")
        sys.stdout.flush()
        return file.tell()
    return position
