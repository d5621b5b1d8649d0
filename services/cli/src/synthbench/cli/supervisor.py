"""The embedded stack: NATS, Postgres and six service processes, started, watched and stopped by this process.

`python -m synthbench.cli.supervisor` is started by the CLI. An ephemeral stack ends when no command uses it any more
and its work is done; one that was asked to stay ends with `synth-bench down`. SIGTERM: finish the work, then stop.
SIGINT: stop now; what is unfinished goes on at the next start.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from nats.errors import Error as NatsError
from pydantic import SecretStr

from synthbench.chassis.errors import ChassisError
from synthbench.chassis.logging import setup_logging
from synthbench.chassis.permissions import nats_accounts
from synthbench.chassis.redaction import redact
from synthbench.chassis.settings import Settings, load_settings
from synthbench.chassis.topology import ensure_topology
from synthbench.cli.embedded.children import ChildProcess, free_port, spawn, stop
from synthbench.cli.embedded.datadir import DataDir
from synthbench.cli.embedded.forked import ServiceForks
from synthbench.cli.embedded.healing import BusHealing
from synthbench.cli.embedded.layout import SERVICES, Instance, Layout, client_password, instances_of, log_of, module_of
from synthbench.cli.embedded.mending import BAD_SETTINGS, Mending
from synthbench.cli.embedded.nats import EmbeddedNats
from synthbench.cli.embedded.postgres import EmbeddedPostgres
from synthbench.cli.embedded.readiness import unready
from synthbench.cli.embedded.rotation import rotate_logs
from synthbench.cli.embedded.work import WorkLeft
from synthbench.cli.endpoints import Endpoints
from synthbench.cli.errors import CliError
from synthbench.cli.stack_options import StackOptions, started_with
from synthbench.contracts.registry import Service, declared_pools
from synthbench.sandbox.engines import choose_engine, known_engines
from synthbench.sandbox.errors import SandboxError
from synthbench.storage.errors import DatabaseUnavailable, MigrationError
from synthbench.storage.migrations import migrate_all

_TICK_SECONDS = 0.25
_LOCK_SECONDS = 90.0
_DRAIN_SECONDS = 25.0
_ASK_SECONDS = 10.0
_UP_SECONDS = 90.0
_STEADY_SECONDS = 0.5
"""So long all services have to be ready until the stack is said to be up."""
_ROTATE_SECONDS = 5.0
_FIRST = (Service.SCHEDULER, Service.EXECUTOR, Service.LLM_GATEWAY, Service.COLLECTOR)


class Supervisor:
    """One stack.

    Args:
        data: its data folder, whose `stack` lock this process holds.
        stay: go on when nobody uses it.
        options: what was asked for: sandbox engine, processes of the services, attempts at once.
    """

    def __init__(self, data: DataDir, *, stay: bool, options: StackOptions) -> None:
        self._data = data
        self._stay = stay
        self._options = options
        self._log = setup_logging("supervisor", "INFO")
        self._clients = load_settings(Settings).client_names
        passwords = {service: data.secret(f"nats-{service}") for service in Service if service is not Service.CLIENT}
        clients = {name: client_password(data, name) for name in self._clients}
        others = (data.secret(name) for name in ("postgres", "api-token", "attempt-key"))
        redact(*passwords.values(), *clients.values(), *others)
        self._pools = declared_pools(set(self._named_engines()).intersection(known_engines()))
        accounts = nats_accounts(passwords, clients, self._pools)
        self._nats = EmbeddedNats(data.sub("nats"), log_of(data, "nats"), accounts)
        self._postgres = EmbeddedPostgres(data.sub("postgres"), log_of(data, "postgres"), data.secret("postgres"))
        self._children: dict[Instance, ChildProcess] = {}
        imported = [f"{module_of(service)}.bootstrap" for service in SERVICES]
        self._forks = ServiceForks(imported, log_of(data, "supervisor"))
        self._mending = Mending(self._log, lambda name: log_of(data, name))
        self._state = "starting"
        self._unready: Mapping[str, str] = {}
        self._bus: BusHealing | None = None
        self._left = ""
        self._stopping = asyncio.Event()
        self._now = asyncio.Event()

    async def run(self) -> None:
        """Start, watch, drain, stop.

        Raises:
            CliError: something does not start, or does not stay up.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stop_now)
        rotating = asyncio.create_task(self._rotate())
        try:
            layout = await self._start()
            await self._watch(layout)
            self._data.stack_file.unlink(missing_ok=True)
            if not self._now.is_set():
                await self._finish_work(layout)
        finally:
            self._data.stack_file.unlink(missing_ok=True)
            rotating.cancel()
            await self._stop()

    def _stop_now(self) -> None:
        self._now.set()
        self._stopping.set()

    async def _start(self) -> Layout:
        """Servers and services at once: services import while the servers come up, and wait for them by themselves.

        What an attempt needs first is started first; two cores cannot start eight processes at once.
        """
        ports = {
            instance: free_port() for instance in instances_of(self._options.replicas or 1, self._options.executors)
        }
        servers = asyncio.create_task(self._start_servers(ports))
        layout = Layout(
            self._data, self._nats.url, self._postgres.dsn, ports, await self._served_pools(), admin_port=free_port(),
            concurrency=self._options.concurrency, clients=self._clients,
        )  # fmt: skip
        self._status("starting", layout)
        for instance in ports:
            if instance.service in _FIRST:
                await self._spawn(layout, instance)
        await servers
        for instance in ports:
            if instance.service not in _FIRST:
                await self._spawn(layout, instance)
        await self._until_up(layout)
        Endpoints(
            nats_url=layout.nats_url,
            nats_user=self._clients[0],
            nats_password=SecretStr(client_password(self._data, self._clients[0])),
            scheduler_url=layout.url(Service.SCHEDULER),
            collector_url=layout.url(Service.COLLECTOR),
            gateway_admin_url=f"http://127.0.0.1:{layout.admin_port}",
            artifacts_url=layout.artifacts_url,
            api_token=SecretStr(self._data.secret("api-token")),
        ).save(self._data.stack_file)
        self._status("up", layout)
        return layout

    async def _until_up(self, layout: Layout) -> None:
        """Wait until every service is ready, and still is a moment later; or one of them does not stay up.

        Raises:
            CliError: a service cannot work with its settings.
        """
        deadline, steady = time.monotonic() + _UP_SECONDS, 0.0
        while not self._stopping.is_set() and time.monotonic() < deadline:
            await self._mend(layout)
            for name, deaths in self._mending.deaths.items():
                if deaths.code == BAD_SETTINGS:
                    raise CliError(f"{name} does not start: {deaths.words}")
            self._unready = await unready(layout)
            steady = 0.0 if self._unready else steady or time.monotonic()
            if self._mending.problems() or (steady and time.monotonic() - steady >= _STEADY_SECONDS):
                break
            await asyncio.sleep(_TICK_SECONDS / 2)
        if self._mending.problems():
            self._unready = {}  # that names the cause

    def _named_engines(self) -> list[str]:
        """Names of the sandbox engines that were asked for; none where the best one that works here is chosen."""
        named = self._options.sandbox or os.environ.get("SYNTHBENCH_ENGINES") or ""
        return [part.strip() for part in named.split(",") if part.strip()]

    async def _served_pools(self) -> list[str]:
        named = self._named_engines()
        if len(named) > 1:
            return named
        given = {name: os.environ.get(f"SYNTHBENCH_SANDBOX_{name.upper()}", "") for name in ("image", "runtime")}
        options = {"docker": {name: value for name, value in given.items() if value}}  # as the executor reads them
        choice = await choose_engine(named[0] if named else None, root=self._data.sub("sandboxes"), options=options)
        for name, reason in choice.refused.items():
            self._log.warning("sandbox engine not used", engine=name, reason=reason)
        await choice.engine.aclose()
        return [choice.engine.name]

    async def _start_servers(self, ports: Mapping[Instance, int]) -> None:
        layout = Layout(self._data, self._nats.url, self._postgres.dsn, ports, ())
        await asyncio.gather(self._start_nats(layout), self._start_postgres())

    async def _start_nats(self, layout: Layout) -> None:
        await self._nats.start()
        async with WorkLeft.connected(layout) as work:
            await ensure_topology(work.js, clients=self._clients, pools=self._pools)

    async def _start_postgres(self) -> None:
        await self._postgres.start()
        await asyncio.to_thread(migrate_all, self._postgres.dsn)

    async def _spawn(self, layout: Layout, instance: Instance) -> None:
        module, env = module_of(instance.service), layout.environment(instance)
        log = log_of(self._data, str(instance))
        if sys.platform == "linux":
            self._children[instance] = await self._forks.start(module, log=log, env=env)
        else:  # a fork of a process that has used some libraries of macOS does not run there
            self._children[instance] = await spawn([sys.executable, "-m", module], log=log, env=env)

    async def _rotate(self) -> None:
        """Keep every log within its bound, while the processes write."""
        while True:
            try:
                await asyncio.to_thread(rotate_logs, self._data.logs)
            except OSError as error:
                self._log.warning("logs are not rotated", error=str(error))
            await asyncio.sleep(_ROTATE_SECONDS)

    async def _watch(self, layout: Layout) -> None:
        """Until it is time to end; a service that dies is started again, within reason."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stopping.wait()
            if not self._stopping.is_set():
                await self._mend(layout)
            if not self._wanted() and not self._in_use() and await self._may_end(layout) and self._alone():
                return

    async def _may_end(self, layout: Layout) -> bool:
        """Whether nothing is left to do; or it cannot be done now, and goes on at the next start."""
        return bool(self._problems()) or not await self._work_left(layout)

    def _healing(self, layout: Layout) -> BusHealing:
        if self._bus is None:
            self._bus = BusHealing(self._nats, self._data.free_bytes, lambda: self._start_nats(layout), self._log)
        return self._bus

    def _problems(self) -> dict[str, str]:
        """Why the stack is not whole, by process."""
        bus = {"nats": self._bus.error} if self._bus and self._bus.error else {}
        return {**self._unready, **bus, **self._mending.problems()}

    def _in_use(self) -> bool:
        """Whether a command uses the stack."""
        return self._data.is_shared("clients")

    async def _work_left(self, layout: Layout) -> str:
        """Say what is left to do. As long as there is something commands may attach: a terminal may have closed."""
        try:
            async with asyncio.timeout(_ASK_SECONDS), WorkLeft.connected(layout) as work:
                left = await work.describe()
        except (
            TimeoutError,
            NatsError,
            OSError,
        ) as error:  # a bus that died is started again
            left = f"no answer yet: {type(error).__name__}"
        self._note_left(layout, "up", left)
        return left

    def _note_left(self, layout: Layout, state: str, left: str) -> None:
        if left != self._left:
            self._left = left
            self._log.info("waiting for work", left=left) if left else None
            self._status(state, layout)

    def _wanted(self) -> bool:
        return self._stay or (self._data.sub("run") / "stay").exists()

    def _alone(self) -> bool:
        """Whether no command uses the stack; then no new one can attach any more, either."""
        lock = self._data.try_lock("clients")
        if lock is None:
            return False
        self._data.stack_file.unlink(missing_ok=True)
        lock.close()
        return True

    async def _mend(self, layout: Layout) -> None:
        """Start again what died, servers first; one that does not stay up leaves the others alone."""
        revive = self._mending.revive
        changed = [
            await revive("nats", self._nats.process, lambda: self._start_nats(layout)),
            await revive("postgres", self._postgres.process, self._postgres.start),
            *[
                await revive(str(instance), process, lambda one=instance: self._spawn(layout, one))
                for instance, process in list(self._children.items())
            ],
            await self._healing(layout).look(),
        ]
        if any(changed):
            self._status(self._state, layout)

    async def _finish_work(self, layout: Layout) -> None:
        """Wait until what was submitted is curated, every outbox is empty and every event is handled."""
        self._status("draining", layout)
        async with WorkLeft.connected(layout) as work:
            while not self._now.is_set():
                left = await work.describe()
                self._note_left(layout, "draining", left)
                if not left:
                    return
                await self._mend(layout)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_TICK_SECONDS):
                        await self._now.wait()

    async def _stop(self) -> None:
        await asyncio.gather(*(stop(process, grace=_DRAIN_SECONDS) for process in self._children.values()))
        await self._forks.stop()
        await self._postgres.stop()
        await self._nats.stop()

    def _status(self, state: str, layout: Layout) -> None:
        """For `status`, `logs` and tests: who runs as which process, and what is wrong.

        What is up but not whole is "degraded".
        """
        self._state = state
        problems = self._problems()
        pids = {str(instance): process.pid for instance, process in self._children.items()}
        for name, process in (("nats", self._nats.process), ("postgres", self._postgres.process)):
            if process is not None:
                pids[name] = process.pid
        content = {
            "state": "degraded" if problems and state == "up" else state,
            "problems": problems,
            "supervisor": os.getpid(),
            "processes": pids,
            "urls": {str(one): layout.url(one.service, one.number) for one in layout.ports},
            "postgres_port": self._postgres.port,
            "pools": list(layout.pools),
            "options": started_with(self._options, self._data.secret("fingerprints")),
            "left": self._left,
            "clients": list(self._clients),
            "stay": self._wanted(),
        }
        try:
            self._data.write_json("status.json", content)
        except OSError as error:  # a full disk: what was written before stays
            self._log.warning("the state could not be written", error=str(error))


def main() -> int:
    """Hold the stack's lock, and run it; the last line of a failure is left for the command that waits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sandbox")
    parser.add_argument("--stay", action="store_true")
    for name in ("--replicas", "--executors", "--concurrency"):
        parser.add_argument(name, type=int)
    options = parser.parse_args()
    data = DataDir(options.data_dir)
    failure = data.sub("run") / "failure"
    deadline = time.monotonic() + _LOCK_SECONDS
    while (lock := data.try_lock("stack")) is None:
        if time.monotonic() > deadline:
            failure.write_text("another stack in this data folder does not end; see `synth-bench status`")
            return 1
        time.sleep(0.05)
    with lock:
        for stale in (data.stack_file, data.sub("run") / "status.json"):  # of one that was killed
            stale.unlink(missing_ok=True)
        try:
            asyncio.run(_run(data, options))
        except (CliError, ChassisError, SandboxError, DatabaseUnavailable, MigrationError) as error:
            failure.write_text(str(error))  # written for people: the cause and the cure
            sys.stderr.write(f"{error}\n")
            return 1
        except Exception as error:  # noqa: BLE001 - logged whole; the command that waits gets one line
            log = data.logs / "supervisor.log"  # its stderr
            failure.write_text(f"unexpected {type(error).__name__}: {error}; the traceback is in {log}")
            setup_logging("supervisor", "INFO").exception("the stack ended by an unexpected error")
            return 1
        finally:
            (data.sub("run") / "status.json").unlink(missing_ok=True)
            (data.sub("run") / "stay").unlink(missing_ok=True)
    return 0


async def _run(data: DataDir, options: argparse.Namespace) -> None:
    wanted = StackOptions(
        sandbox=options.sandbox,
        replicas=options.replicas,
        executors=options.executors,
        concurrency=options.concurrency,
    )
    await Supervisor(data, stay=options.stay, options=wanted).run()


if __name__ == "__main__":
    sys.exit(main())
