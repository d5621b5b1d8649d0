"""A client of a stack that is there for as long as it is used."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from synthbench.cli.attaching import attached
from synthbench.cli.client import StackClient, connect
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.stack_options import StackOptions


@asynccontextmanager
async def session(data: DataDir | None = None, options: StackOptions | None = None) -> AsyncGenerator[StackClient]:
    """Attach to the stack, or start one that ends by itself afterwards.

    Raises:
        CliError: there is none, and none can be started; or it cannot do what the options ask for.
    """
    async with attached(data, options) as (endpoints, still_there), connect(endpoints, still_there) as client:
        yield client
