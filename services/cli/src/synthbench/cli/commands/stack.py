"""`down`, `status`, `env`: the embedded stack."""

import os
import shlex
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.sessions import services_api
from synthbench.client.contact import FORGET
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.services_api import campaigns_of
from synthbench.contracts.loose import as_list, as_object
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.stack import SHELL_VARIABLES, remote_endpoints, stop_stack
from synthbench.embedded.status import stack_status

_SUBMISSIONS = 20


def report_problems(status: Mapping[str, Any]) -> int:
    """Print the problems of a stack; return the exit code."""
    problems = as_object(status.get("problems"))
    for name, problem in problems.items():
        console.fail(f"{name} {problem}; see `synth-bench logs {name}`")
    return 1 if problems else 0


async def down(*, now: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Stop the stack, once everything that was submitted is curated.

    Args:
        now: Do not wait; what is unfinished goes on at the next start.
    """
    data = DataDir()
    found = Endpoints.load(data.stack_file)
    if not await stop_stack(data, console.say, now=now):
        console.say("no stack is running")
        return
    console.say("stopped")
    if found is not None and os.environ.get("SYNTHBENCH_NATS_URL") == found.nats_url:
        console.say(f"this shell still names it; forget it: {FORGET}")


async def status(*, wide: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show the stack's processes, its submissions and campaigns, and what is left to do.

    Args:
        wide: Whole ids on a terminal, too.
    """
    if remote_endpoints() is not None:
        await _show_work(None, wide=wide)
        return 0
    data = DataDir()
    found = stack_status(data)
    if found is None:
        console.say(f"no stack is running in {data.path}; `synth-bench up` starts one")
        return 1
    rows = [[name, str(pid), found["urls"].get(name, "")] for name, pid in found["processes"].items()]
    rows.append(["supervisor", str(found["supervisor"]), found["state"]])
    console.table(["process", "pid", "address"], rows)
    code = report_problems(found)
    if found["state"] in ("up", "degraded"):
        await _show_work(data, wide=wide)
    elif found["state"] == "draining":
        console.say(f"it stops when its work is done; left: {found.get('left') or 'its processes to end'}")
    return code


async def _show_work(data: DataDir | None, *, wide: bool) -> None:
    async with services_api(data) as client:
        listed = as_object(await client.find("/v1/submissions", service="scheduler", params={"limit": _SUBMISSIONS}))
        work = as_object(await client.find("/v1/work", service="scheduler"))
        paused = [one for one in await campaigns_of(client) if one["paused_at"]]
        if client.endpoints.elsewhere:
            console.say(f"the stack of SYNTHBENCH_NATS_URL={client.endpoints.nats_url}")
    submissions = [as_object(one) for one in as_list(listed.get("submissions"))]
    columns = ["submission_id", "campaign", "state", "task", "finished", "created_at"]
    console.table(columns, [_submission(one, wide=wide) for one in submissions])
    total = int(work["submissions"])
    if total > len(submissions):
        console.say(f"{len(submissions)} of {total} submissions, the newest")
    states = as_object(work["rollouts"])
    left = sum(int(count) for count in states.values())
    details = ", ".join(f"{count} {state}" for state, count in states.items())
    console.say(f"{work['open']} submissions are open, {left} rollouts left" + (f": {details}" if left else ""))
    for campaign in paused:
        console.say(f"paused: {campaign['reason']}")


def _submission(one: dict[str, Any], *, wide: bool) -> list[str]:
    task = str(as_object(one.get("task")).get("name") or "").rpartition("/")[2]
    done = f"{one['finished']} of {one['rollouts']}"
    moment = str(one["created_at"]).partition(".")[0].replace("T", " ")
    return [
        console.short_id(one["submission_id"], wide=wide),
        str(one["campaign"]),
        str(one["state"]),
        task,
        done,
        moment,
    ]


def env(*, unset: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Print where the running stack is, and the client's password, as shell variables for `eval`.

    `NATS_*` is what NATS's own tools read; with `SYNTHBENCH_*` our commands use that stack from any folder.

    Args:
        unset: Print what makes the shell forget them.

    Raises:
        CliError: none runs.
    """
    if unset:
        console.write(f"unset {' '.join(SHELL_VARIABLES)}\n")
        return
    data = DataDir()
    found = Endpoints.load(data.stack_file) if stack_status(data) else None
    if found is None:
        raise CliError(f"no stack is running in {data.path}; `synth-bench up` starts one")
    values = {
        "NATS_URL": found.nats_url,
        "NATS_USER": found.nats_user,
        "NATS_PASSWORD": found.nats_password.get_secret_value(),
        "SYNTHBENCH_NATS_URL": found.nats_url,
        "SYNTHBENCH_SCHEDULER_URL": found.scheduler_url,
        "SYNTHBENCH_COLLECTOR_URL": found.collector_url,
        "SYNTHBENCH_ARTIFACTS_URL": found.artifacts_url,
        "SYNTHBENCH_NATS_USER": found.nats_user,
        "SYNTHBENCH_NATS_PASSWORD": found.nats_password.get_secret_value(),
        "SYNTHBENCH_GATEWAY_ADMIN_URL": found.gateway_admin_url,
        "SYNTHBENCH_API_TOKEN": found.api_token.get_secret_value() if found.api_token else "",
    }
    console.write("".join(f"export {name}={shlex.quote(values[name])}\n" for name in SHELL_VARIABLES))
