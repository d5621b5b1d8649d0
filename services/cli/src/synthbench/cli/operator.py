"""The operator's way into a stack: its bus, its database, its artifacts. Not for users, and not for services."""

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
from synthbench.cli.bus import connect_bus
from synthbench.cli.contact import FORGET
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.embedded.postgres import dsn_of
from synthbench.cli.endpoints import Endpoints
from synthbench.cli.errors import CliError
from synthbench.cli.stack import remote_endpoints, stack_status, using_stack
from synthbench.contracts.registry import DEFAULT_CLIENTS, Service, declared_pools
from synthbench.storage.artifacts import ArtifactStore, open_store
from synthbench.storage.database import place_of


@dataclass(frozen=True)
class Operator:
    """What an operator holds."""

    bus: Bus
    dsn: SecretStr
    store: ArtifactStore
    sandboxes: Path
    """Where executors of this machine keep their sandboxes."""
    data: DataDir | None
    """Of the embedded stack."""
    clients: Sequence[str]
    """Who may submit."""
    pools: Sequence[str]
    """Every pool that has subjects and durables."""


@asynccontextmanager
async def as_operator() -> AsyncGenerator[Operator]:
    """Open the embedded stack (it is started if need be), or the one that the environment names.

    There SYNTHBENCH_NATS_USER must be `topology`, and SYNTHBENCH_POSTGRES_DSN must be set.

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
    async with using_stack(data) as endpoints:
        dsn = _embedded_dsn(data)
        password = SecretStr(data.secret(f"nats-{Service.TOPOLOGY}"))
        async with _bus(endpoints, str(Service.TOPOLOGY), password) as bus:
            status = stack_status(data) or {}
            clients: list[str] = status.get("clients") or list(DEFAULT_CLIENTS)
            pools = declared_pools(status.get("pools") or ())
            store = open_store(endpoints.artifacts_url)
            yield Operator(bus, dsn, store, data.sub("sandboxes"), data, clients, pools)


def remote_record() -> tuple[SecretStr, ArtifactStore] | None:
    """Database and artifacts of the stack that the environment names; None for the embedded one.

    Raises:
        CliError: it names only a part.
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
async def record() -> AsyncGenerator[tuple[SecretStr, ArtifactStore]]:
    """Database and artifacts alone, of the embedded stack or of the one that the environment names."""
    remote = remote_record()
    if remote is not None:
        yield remote
        return
    data = DataDir()
    async with using_stack(data) as endpoints:
        yield _embedded_dsn(data), open_store(endpoints.artifacts_url)


def _embedded_dsn(data: DataDir) -> SecretStr:
    return dsn_of((stack_status(data) or {})["postgres_port"], data.secret("postgres"))


@asynccontextmanager
async def connected(dsn: SecretStr) -> AsyncGenerator[psycopg.AsyncConnection[DictRow]]:
    """A connection of our own, each statement a transaction of its own.

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
async def operator_bus() -> AsyncGenerator[Bus]:
    """The bus alone; elsewhere than in the embedded stack as whoever the environment names."""
    remote = remote_endpoints()
    if remote is not None:
        async with _bus(remote, remote.nats_user, remote.nats_password) as bus:
            yield bus
        return
    async with as_operator() as operator:
        yield operator.bus


@asynccontextmanager
async def _bus(endpoints: Endpoints, user: str, password: SecretStr) -> AsyncGenerator[Bus]:
    bus = await connect_bus(endpoints, user, password, Service.TOPOLOGY)
    try:
        yield bus
    finally:
        await bus.close()
