"""Attaching to a stack for as long as a command uses it.

Most commands need its HTTP APIs alone (`services_api`); those that submit or follow work open a `session`.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from synthbench.cli.output import say
from synthbench.client.contact import require_bus
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.services_api import ServicesApi, open_http
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.stack import remote_endpoints, using_stack
from synthbench.embedded.stack_options import StackOptions
from synthbench.embedded.status import failure_of, stack_status

if TYPE_CHECKING:
    from synthbench.client.stack_client import StackClient


@asynccontextmanager
async def attached(
    data: DataDir | None = None, options: StackOptions | None = None
) -> AsyncGenerator[tuple[Endpoints, Callable[[], None]]]:
    """Attach to the stack, or start one that ends by itself afterwards.

    Yields:
        Where it is, and what raises CliError once it is known to have ended.

    Raises:
        CliError: there is none, and none can be started; or it cannot do what the options ask for.
    """
    folder = None if remote_endpoints() else data or DataDir()

    def still_there() -> None:
        if folder is not None and stack_status(folder) is None:
            raise CliError(f"the stack ended: {failure_of(folder) or f'see {folder.logs}'}")

    async with using_stack(folder, options, say) as endpoints:
        yield endpoints, still_there


@asynccontextmanager
async def services_api(data: DataDir | None = None) -> AsyncGenerator[ServicesApi]:
    """Attach, for commands that only ask the services: they need no connection to the bus, and none of its events.

    Raises:
        CliError: as of `attached`; or the environment names a stack whose bus does not listen.
    """
    async with attached(data) as (endpoints, still_there):
        if endpoints.elsewhere:
            await require_bus(endpoints)
        async with open_http(endpoints) as http:
            yield ServicesApi(endpoints, http, still_there, say)


@asynccontextmanager
async def session(data: DataDir | None = None, options: StackOptions | None = None) -> AsyncGenerator["StackClient"]:
    """Attach to the stack with its bus, events and artifacts; or start one that ends by itself afterwards.

    Raises:
        CliError: there is none, and none can be started; or it cannot do what the options ask for.
    """
    from synthbench.client.stack_client import connect  # noqa: PLC0415 - it imports every event, and NATS

    async with attached(data, options) as (endpoints, still_there), connect(endpoints, still_there, say) as client:
        yield client
