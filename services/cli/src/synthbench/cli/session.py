"""A client of a stack that is there for as long as it is used."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from synthbench.cli.client import StackClient, connect
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.errors import CliError
from synthbench.cli.stack import failure_of, remote_endpoints, stack_status, using_stack
from synthbench.cli.stack_options import StackOptions


@asynccontextmanager
async def session(data: DataDir | None = None, options: StackOptions | None = None) -> AsyncGenerator[StackClient]:
    """Attach to the stack, or start one that ends by itself afterwards.

    Raises:
        CliError: there is none, and none can be started; or it cannot do what the options ask for.
    """
    folder = None if remote_endpoints() else data or DataDir()

    def still_there() -> None:
        if folder is not None and stack_status(folder) is None:
            raise CliError(f"the stack ended: {failure_of(folder) or f'see {folder.logs}'}")

    async with using_stack(folder, options) as endpoints, connect(endpoints, still_there) as client:
        yield client
