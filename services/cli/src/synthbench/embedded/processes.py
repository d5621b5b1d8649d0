"""The processes of one embedded stack: started, started again when they end, and stopped."""

import asyncio
import sys
from collections.abc import Sequence

from pydantic import SecretStr
from structlog.stdlib import BoundLogger

from synthbench.chassis.permissions import nats_accounts
from synthbench.chassis.redaction import redact
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.registry import Service
from synthbench.embedded.bus_recovery import BusRecovery
from synthbench.embedded.children import ChildProcess, spawn, stop
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.layout import SERVICES, Instance, Layout, client_password, module_of
from synthbench.embedded.log_files import log_of
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.postgres import EmbeddedPostgres
from synthbench.embedded.restarts import BAD_SETTINGS, Restarts
from synthbench.embedded.service_forks import ServiceForks
from synthbench.embedded.unfinished_work import operator_jetstream
from synthbench.storage.migrations import migrate_all

_DRAIN_SECONDS = 25.0


class StackProcesses:
    """NATS, Postgres, and the processes of the services.

    Args:
        data: the data folder.
        clients: names of those who may submit; each gets an account on the bus.
        pools: every pool that has subjects and durables.
        log: of the supervisor.
    """

    def __init__(self, data: DataDir, clients: Sequence[str], pools: Sequence[str], log: BoundLogger) -> None:
        self._data = data
        self._clients = clients
        self._pools = pools
        self._log = log
        passwords = {service: data.secret(f"nats-{service}") for service in Service if service is not Service.CLIENT}
        of_clients = {name: client_password(data, name) for name in clients}
        others = (data.secret(name) for name in ("postgres", "api-token", "attempt-key"))
        redact(*passwords.values(), *of_clients.values(), *others)
        accounts = nats_accounts(passwords, of_clients, pools)
        self._nats = EmbeddedNats(data.sub("nats"), log_of(data, "nats"), accounts)
        self._postgres = EmbeddedPostgres(data.sub("postgres"), log_of(data, "postgres"), data.secret("postgres"))
        self._services: dict[Instance, ChildProcess] = {}
        imported = [f"{module_of(service)}.bootstrap" for service in SERVICES]
        self._forks = ServiceForks(imported, log_of(data, "supervisor"))
        self._restarts = Restarts(log, lambda name: log_of(data, name))
        self._bus_recovery = BusRecovery(self._nats, data.free_bytes, self._start_nats, log)

    @property
    def nats_url(self) -> str:
        """URL of the bus."""
        return self._nats.url

    @property
    def postgres_dsn(self) -> SecretStr:
        """DSN of the database's owner."""
        return self._postgres.dsn

    @property
    def postgres_port(self) -> int:
        """TCP port of the database on the loopback interface."""
        return self._postgres.port

    def ids(self) -> dict[str, int]:
        """Return the process ids of what was started, by name."""
        found = {str(instance): process.pid for instance, process in self._services.items()}
        for name, process in (("nats", self._nats.process), ("postgres", self._postgres.process)):
            if process is not None:
                found[name] = process.pid
        return found

    def problems(self) -> dict[str, str]:
        """Return why processes do not stay up, or cannot store, by name."""
        bus = {"nats": self._bus_recovery.error} if self._bus_recovery.error else {}
        return {**bus, **self._restarts.problems()}

    def do_not_stay_up(self) -> bool:
        """Whether a process ended again and again."""
        return bool(self._restarts.problems())

    def refused_settings(self) -> str:
        """Return which service cannot work with its settings, and why; empty where all can."""
        for name, history in self._restarts.exits.items():
            if history.code == BAD_SETTINGS:
                return f"{name} does not start: {history.last_words}"
        return ""

    async def start_servers(self) -> None:
        """Start the bus with its streams and the database with its tables, at once."""
        await asyncio.gather(self._start_nats(), self._start_postgres())

    async def start_service(self, layout: Layout, instance: Instance) -> None:
        """Start one process of a service; it waits for the servers by itself."""
        module, env = module_of(instance.service), layout.environment(instance)
        log = log_of(self._data, str(instance))
        if sys.platform == "linux":
            self._services[instance] = await self._forks.start(module, log=log, env=env)
        else:  # a fork of a process that has used some libraries of macOS does not run there
            self._services[instance] = await spawn([sys.executable, "-m", module], log=log, env=env)

    async def restart_ended(self, layout: Layout) -> bool:
        """Start again what ended, servers first; return whether anything changed.

        A process that does not stay up leaves the others alone.
        """
        restart = self._restarts.restart_if_ended
        changed = [
            await restart("nats", self._nats.process, self._start_nats),
            await restart("postgres", self._postgres.process, self._postgres.start),
            *[
                await restart(str(instance), process, lambda one=instance: self.start_service(layout, one))
                for instance, process in list(self._services.items())
            ],
            await self._bus_recovery.check(),
        ]
        return any(changed)

    async def stop(self) -> None:
        """Stop the services, then the servers; the data stays."""
        await asyncio.gather(*(stop(process, grace=_DRAIN_SECONDS) for process in self._services.values()))
        await self._forks.stop()
        await self._postgres.stop()
        await self._nats.stop()

    async def _start_nats(self) -> None:
        await self._nats.start()
        password = self._data.secret(f"nats-{Service.TOPOLOGY}")
        async with operator_jetstream(self._nats.url, password) as js:
            await ensure_topology(js, clients=self._clients, pools=self._pools)

    async def _start_postgres(self) -> None:
        await self._postgres.start()
        await asyncio.to_thread(migrate_all, self._postgres.dsn)
