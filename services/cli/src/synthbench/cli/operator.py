"""The operator's way into a stack: its bus, its database, its artifacts. Not for users, and not for services."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import BusUnavailable
from synthbench.chassis.logging import setup_logging
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.embedded.postgres import dsn_of
from synthbench.cli.errors import CliError
from synthbench.cli.stack import remote_endpoints, stack_status, using_stack
from synthbench.contracts.registry import Service
from synthbench.storage.artifacts import ArtifactStore, open_store


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


@asynccontextmanager
async def as_operator() -> AsyncGenerator[Operator]:
    """Open the embedded stack (it is started if need be), or the one that the environment names.

    There SYNTHBENCH_NATS_USER must be `topology`, and SYNTHBENCH_POSTGRES_DSN must be set.

    Raises:
        CliError: something is missing, or does not answer.
    """
    remote = remote_endpoints()
    if remote is not None:
        dsn = os.environ.get("SYNTHBENCH_POSTGRES_DSN")
        if not dsn:
            raise CliError("SYNTHBENCH_NATS_URL names a stack, but SYNTHBENCH_POSTGRES_DSN is missing")
        sandboxes = Path(os.environ.get("SYNTHBENCH_SANDBOX_ROOT", "/nonexistent"))
        async with _bus(remote.nats_url, remote.nats_user, remote.nats_password) as bus:
            yield Operator(bus, SecretStr(dsn), open_store(remote.artifacts_url), sandboxes, None)
        return
    data = DataDir()
    async with using_stack(data) as endpoints:
        dsn = dsn_of((stack_status(data) or {})["postgres_port"], data.secret("postgres"))
        password = SecretStr(data.secret(f"nats-{Service.TOPOLOGY}"))
        async with _bus(endpoints.nats_url, str(Service.TOPOLOGY), password) as bus:
            yield Operator(bus, dsn, open_store(endpoints.artifacts_url), data.sub("sandboxes"), data)


@asynccontextmanager
async def operator_bus() -> AsyncGenerator[Bus]:
    """The bus alone; elsewhere than in the embedded stack as whoever the environment names."""
    remote = remote_endpoints()
    if remote is not None:
        async with _bus(remote.nats_url, remote.nats_user, remote.nats_password) as bus:
            yield bus
        return
    async with as_operator() as operator:
        yield operator.bus


@asynccontextmanager
async def _bus(url: str, user: str, password: SecretStr) -> AsyncGenerator[Bus]:
    try:
        bus = await Bus.connect(Service.TOPOLOGY, url, user, password, setup_logging("cli", "ERROR"))
    except BusUnavailable as error:
        raise CliError(str(error)) from error
    try:
        yield bus
    finally:
        await bus.close()
