"""`audit`: look at everything from outside, and say of each promise whether it is held."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import nats
import psycopg
from cyclopts import Parameter
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from psycopg.rows import DictRow, dict_row
from pydantic import SecretStr

from synthbench.cli import console
from synthbench.cli.audit import checks
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.errors import CliError
from synthbench.cli.stack import remote_endpoints, stack_status, using_stack
from synthbench.contracts.registry import Service
from synthbench.storage.artifacts import ArtifactStore, open_store
from synthbench.storage.database import place_of

_SETTLE_POLL = 0.5


@dataclass(frozen=True)
class Sources:
    """Everything that an audit reads, as the operator."""

    connection: psycopg.AsyncConnection[DictRow]
    js: JetStreamContext
    store: ArtifactStore
    sandboxes: Path
    data: DataDir | None


async def audit(
    *,
    settled: Annotated[bool, Parameter(negative="")] = False,
    wait: float = 0,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Check every promise against bus, database, artifacts and this machine, without asking the services.

    For the embedded stack it knows the way. Elsewhere it needs the operator's settings: SYNTHBENCH_NATS_URL with the
    user `topology`, SYNTHBENCH_POSTGRES_DSN, SYNTHBENCH_ARTIFACTS_URL.

    Args:
        settled: Nothing may be under way: every submission ended, nothing waits anywhere.
        wait: Seconds to wait for that.
        json: Print the findings as JSON.
    """
    deadline = asyncio.get_running_loop().time() + wait
    async with _sources() as sources:
        while True:
            findings = [finding async for finding in _findings(sources, settled=settled)]
            if all(one.held for one in findings) or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(_SETTLE_POLL)
    broken = [one for one in findings if not one.held]
    if json:
        console.show_json([{**asdict(finding), "held": finding.held} for finding in findings])
    else:
        console.table(["", "invariant", ""], [["held" if f.held else "BROKEN", f.invariant, f.note] for f in findings])
        for one in broken:
            for culprit in one.culprits:
                console.fail(f"{one.invariant}: {culprit}")
    return 1 if broken else 0


async def _findings(sources: Sources, *, settled: bool) -> AsyncGenerator[checks.Finding]:
    connection = sources.connection
    async for finding in checks.database(connection, checks.ALWAYS):
        yield finding
    if settled:
        async for finding in checks.database(connection, checks.SETTLED):
            yield finding
    async for finding in checks.trajectories(connection, sources.store):
        yield finding
    async for finding in checks.journals(connection, sources.store):
        yield finding
    async for finding in checks.bus(sources.js, settled=settled):
        yield finding
    async for finding in checks.machine(connection, sources.sandboxes):
        yield finding
    if sources.data is not None:
        values = [path.read_text() for path in sources.data.sub("secrets").iterdir()]
        yield await asyncio.to_thread(checks.secrets, sources.data.path, values)


@asynccontextmanager
async def _sources() -> AsyncGenerator[Sources]:
    remote = remote_endpoints()
    if remote is not None:
        dsn = os.environ.get("SYNTHBENCH_POSTGRES_DSN")
        if not dsn:
            raise CliError("SYNTHBENCH_NATS_URL names a stack, but SYNTHBENCH_POSTGRES_DSN is missing")
        sandboxes = Path(os.environ.get("SYNTHBENCH_SANDBOX_ROOT", "/nonexistent"))
        password = remote.nats_password.get_secret_value()
        async with _opened(SecretStr(dsn), remote.nats_url, remote.nats_user, password) as (connection, js):
            yield Sources(connection, js, open_store(remote.artifacts_url), sandboxes, None)
        return
    data = DataDir()
    async with using_stack(data) as endpoints:
        port = (stack_status(data) or {}).get("postgres_port")
        dsn = f"postgresql://synthbench:{data.secret('postgres')}@127.0.0.1:{port}/postgres"
        password = data.secret(f"nats-{Service.TOPOLOGY}")
        async with _opened(SecretStr(dsn), endpoints.nats_url, str(Service.TOPOLOGY), password) as (connection, js):
            yield Sources(connection, js, open_store(endpoints.artifacts_url), data.sub("sandboxes"), data)


@asynccontextmanager
async def _opened(
    dsn: SecretStr, nats_url: str, user: str, password: str
) -> AsyncGenerator[tuple[psycopg.AsyncConnection[DictRow], JetStreamContext]]:
    place = place_of(dsn)
    try:
        connection = await psycopg.AsyncConnection[DictRow].connect(
            dsn.get_secret_value(), row_factory=dict_row, autocommit=True, connect_timeout=5
        )
    except psycopg.OperationalError as error:
        raise CliError(f"no Postgres at {place}: {str(error).splitlines()[0]}") from error
    async with connection:
        await connection.execute("set default_transaction_read_only = on")
        try:
            client = await nats.connect(
                nats_url, user=user, password=password, name="auditor", error_cb=_quiet, allow_reconnect=False
            )
        except (NatsError, OSError) as error:
            raise CliError(f"no bus at {nats_url}: {error}") from error
        try:
            yield connection, client.jetstream(timeout=5)
        finally:
            await client.close()


async def _quiet(_error: Exception) -> None:
    """Errors come as exceptions."""
