"""An operator's access to a stack: its bus, its database, its artifacts. Not for users, and not for services."""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import DictRow, dict_row
from pydantic import SecretStr

from synthbench.chassis.bus import Bus
from synthbench.chassis.settings import Settings, load_settings
from synthbench.client.bus import connect_bus
from synthbench.client.contact import FORGET
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.client.waiting import Say, say_nothing
from synthbench.contracts.registry import DEFAULT_CLIENTS, Service, declared_pools
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.postgres import dsn_of
from synthbench.embedded.stack import remote_endpoints, using_stack
from synthbench.embedded.status import stack_status
from synthbench.storage.artifacts import ArtifactStore, open_store
from synthbench.storage.database import place_of

ARTIFACTS_LOCK = 0x47433031
"""Key of Postgres' advisory lock on the artifact store: backups share it, a garbage collection has it alone."""


@dataclass(frozen=True)
class Operator:
    """Open connections of an operator to one stack."""

    bus: Bus
    dsn: SecretStr
    store: ArtifactStore
    sandboxes: Path
    """Folder in which executors of this machine keep their sandboxes."""
    data: DataDir | None
    """Data folder of the embedded stack; None for one that the environment names."""
    clients: Sequence[str]
    """Names of the clients that may submit."""
    pools: Sequence[str]
    """Every pool that has subjects and durables."""


@asynccontextmanager
async def as_operator(say: Say = say_nothing) -> AsyncGenerator[Operator]:
    """Open the embedded stack (it is started if need be), or the one that the environment names.

    There SYNTHBENCH_NATS_USER must be `topology`, and SYNTHBENCH_POSTGRES_DSN must be set.

    Args:
        say: takes what a long start waits for.

    Raises:
        CliError: something is missing, or does not answer.
    """
    remote, found = remote_endpoints(), remote_record()
    if remote is not None and found is not None:
        sandboxes = Path(os.environ.get("SYNTHBENCH_SANDBOX_ROOT", "/nonexistent"))
        async with _bus(remote, remote.nats_user, remote.nats_password) as bus:
            settings = load_settings(Settings)
            yield Operator(bus, *found, sandboxes, None, settings.client_names, settings.declared_pools)
        return
    data = DataDir()
    async with using_stack(data, say=say) as endpoints:
        dsn = _embedded_dsn(data)
        password = SecretStr(data.secret(f"nats-{Service.TOPOLOGY}"))
        async with _bus(endpoints, str(Service.TOPOLOGY), password) as bus:
            status = stack_status(data) or {}
            clients: list[str] = status.get("clients") or list(DEFAULT_CLIENTS)
            pools = declared_pools(status.get("pools") or ())
            store = open_store(endpoints.artifacts_url)
            yield Operator(bus, dsn, store, data.sub("sandboxes"), data, clients, pools)


def remote_record() -> tuple[SecretStr, ArtifactStore] | None:
    """Return database and artifacts of the stack that the environment names; None for the embedded one.

    Raises:
        CliError: it names only a part of a stack.
    """
    remote = remote_endpoints()
    if remote is None:
        return None
    dsn = os.environ.get("SYNTHBENCH_POSTGRES_DSN")
    if not dsn:
        raise CliError(
            "SYNTHBENCH_NATS_URL names a stack, but SYNTHBENCH_POSTGRES_DSN is missing; "
            f"set it, or forget that stack: {FORGET}"
        )
    return SecretStr(dsn), open_store(remote.artifacts_url)


@asynccontextmanager
async def record(say: Say = say_nothing) -> AsyncGenerator[tuple[SecretStr, ArtifactStore]]:
    """Open database and artifacts alone, of the embedded stack or of the one that the environment names."""
    remote = remote_record()
    if remote is not None:
        yield remote
        return
    data = DataDir()
    async with using_stack(data, say=say) as endpoints:
        yield _embedded_dsn(data), open_store(endpoints.artifacts_url)


def _embedded_dsn(data: DataDir) -> SecretStr:
    return dsn_of((stack_status(data) or {})["postgres_port"], data.secret("postgres"))


@asynccontextmanager
async def connected(dsn: SecretStr) -> AsyncGenerator[psycopg.AsyncConnection[DictRow]]:
    """Open a connection of one's own, each statement a transaction of its own.

    Raises:
        CliError: nothing answers.
    """
    place = place_of(dsn)
    try:
        connection = await psycopg.AsyncConnection[DictRow].connect(
            dsn.get_secret_value(), row_factory=dict_row, autocommit=True, connect_timeout=4
        )
    except psycopg.OperationalError as error:
        named = ""
        if "SYNTHBENCH_POSTGRES_DSN" in os.environ and remote_endpoints() is not None:
            named = f"; start it, set SYNTHBENCH_POSTGRES_DSN anew, or forget that stack: {FORGET}"
        raise CliError(f"no Postgres at {place}: {str(error).splitlines()[0]}{named}") from error
    async with connection:
        yield connection


@asynccontextmanager
async def operator_bus(say: Say = say_nothing) -> AsyncGenerator[Bus]:
    """Open the bus alone; of a stack that the environment names as the user that it names."""
    remote = remote_endpoints()
    if remote is not None:
        async with _bus(remote, remote.nats_user, remote.nats_password) as bus:
            yield bus
        return
    async with as_operator(say) as operator:
        yield operator.bus


@asynccontextmanager
async def _bus(endpoints: Endpoints, user: str, password: SecretStr) -> AsyncGenerator[Bus]:
    bus = await connect_bus(endpoints, user, password, Service.TOPOLOGY)
    try:
        yield bus
    finally:
        await bus.close()
