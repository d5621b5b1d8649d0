"""`up`: start the embedded stack."""

import os

from synthbench.cli import console
from synthbench.cli.commands.stack import report_problems
from synthbench.cli.installed import Engine
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.stack import start_to_stay
from synthbench.embedded.stack_options import StackOptions
from synthbench.embedded.status import stack_status

_MAX_REPLICAS = 8
_MAX_EXECUTORS = 32
_MAX_CONCURRENCY = 256


async def up(
    *,
    sandbox: Engine = None,
    replicas: int | None = None,
    executors: int | None = None,
    concurrency: int | None = None,
) -> int:
    """Start the stack and leave it running; it is up when every service answers. Code 1 where one does not stay up.

    Args:
        replicas: Processes of each service; 1 by default.
        executors: Processes of the executor alone; by default as many as --replicas.
        concurrency: Attempts at once in each executor.
    """
    for option, value, most in (
        ("--replicas", replicas, _MAX_REPLICAS),
        ("--executors", executors, _MAX_EXECUTORS),
        ("--concurrency", concurrency, _MAX_CONCURRENCY),
    ):
        if value is not None and not 1 <= value <= most:
            raise CliError(f"{option}: 1 to {most}", exit_code=2)
    data = DataDir()
    options = StackOptions(sandbox=sandbox, replicas=replicas, executors=executors, concurrency=concurrency)
    endpoints = await start_to_stay(data, options, console.say)
    console.say(
        f"up: bus {endpoints.nats_url}, submissions {endpoints.scheduler_url}, trajectories {endpoints.collector_url}"
    )
    console.say(f"data in {data.path}; `synth-bench down` stops it when its work is done")
    named = os.environ.get("SYNTHBENCH_NATS_URL", endpoints.nats_url)
    if named != endpoints.nats_url:
        console.say(
            f'this shell names another stack (SYNTHBENCH_NATS_URL={named}): eval "$(synth-bench env)" names this one'
        )
    return report_problems(stack_status(data) or {})
