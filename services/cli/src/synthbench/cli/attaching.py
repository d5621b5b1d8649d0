"""Attaching to a stack for as long as it is used: by its HTTP APIs alone, which most commands do with."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from synthbench.cli.contact import require_bus
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.endpoints import Endpoints
from synthbench.cli.errors import CliError
from synthbench.cli.services_api import ServicesApi, open_http
from synthbench.cli.stack import failure_of, remote_endpoints, stack_status, using_stack
from synthbench.cli.stack_options import StackOptions


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

    async with using_stack(folder, options) as endpoints:
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
            yield ServicesApi(endpoints, http, still_there)
