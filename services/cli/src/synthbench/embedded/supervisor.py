"""The supervisor of an embedded stack: this process starts, watches and stops NATS, Postgres and the services.

`python -m synthbench.embedded.supervisor` is started by the commands. An ephemeral stack ends when no command uses it
any more and its work is done; one that was asked to stay ends with `synth-bench down`. SIGTERM: finish the work, then
stop. SIGINT: stop now; what is unfinished goes on at the next start.
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
from synthbench.chassis.settings import Settings, load_settings
from synthbench.client.endpoints import Endpoints
from synthbench.client.errors import CliError
from synthbench.contracts.registry import Service, declared_pools
from synthbench.embedded.children import free_port
from synthbench.embedded.datadir import DataDir
from synthbench.embedded.layout import Layout, client_password, instances_of
from synthbench.embedded.log_files import rotate_logs
from synthbench.embedded.loopback import not_ready
from synthbench.embedded.processes import StackProcesses
from synthbench.embedded.stack_options import StackOptions
from synthbench.embedded.status import StatusFile
from synthbench.embedded.unfinished_work import UnfinishedWork
from synthbench.sandbox.engines import choose_engine, known_engines
from synthbench.sandbox.errors import SandboxError
from synthbench.storage.errors import DatabaseUnavailable, MigrationError

_TICK_SECONDS = 0.25
_LOCK_SECONDS = 90.0
_ASK_SECONDS = 10.0
_UP_SECONDS = 90.0
_STEADY_SECONDS = 0.5
"""The stack is up once all services have been ready for so long."""
_ROTATE_SECONDS = 5.0
_FIRST = (Service.SCHEDULER, Service.EXECUTOR, Service.LLM_GATEWAY, Service.COLLECTOR)
"""Services that an attempt needs first; two cores cannot start eight processes at once."""


class Supervisor:
    """The life of one stack.

    Args:
        data: its data folder, whose `stack` lock this process holds.
        stay: go on when no command uses it.
        options: sandbox engine, number of processes of each service, attempts at once.
    """

    def __init__(self, data: DataDir, *, stay: bool, options: StackOptions) -> None:
        self._data = data
        self._stay = stay
        self._options = options
        self._log = setup_logging("supervisor", "INFO")
        self._clients = load_settings(Settings).client_names
        pools = declared_pools(set(self._named_engines()).intersection(known_engines()))
        self._processes = StackProcesses(data, self._clients, pools, self._log)
        self._status = StatusFile(data, options)
        self._not_ready: Mapping[str, str] = {}
        self._stopping = asyncio.Event()
        self._now = asyncio.Event()

    async def run(self) -> None:
        """Start, watch, finish the work, stop.

        Raises:
            CliError: something does not start, or does not stay up.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._stop_now)
        rotating = asyncio.create_task(self._rotate_logs())
        try:
            layout = await self._start()
            await self._watch(layout)
            self._data.stack_file.unlink(missing_ok=True)
            if not self._now.is_set():
                await self._finish_work(layout)
        finally:
            self._data.stack_file.unlink(missing_ok=True)
            rotating.cancel()
            await self._processes.stop()

    def _stop_now(self) -> None:
        self._now.set()
        self._stopping.set()

    async def _start(self) -> Layout:
        """Start servers and services at once: services import while the servers come up, and wait for them."""
        ports = {
            instance: free_port() for instance in instances_of(self._options.replicas or 1, self._options.executors)
        }
        servers = asyncio.create_task(self._processes.start_servers())
        layout = Layout(
            self._data, self._processes.nats_url, self._processes.postgres_dsn, ports, await self._served_pools(),
            admin_port=free_port(), concurrency=self._options.concurrency, clients=self._clients,
        )  # fmt: skip
        self._write_status(layout)
        await self._start_services(layout, first=True)
        await servers
        await self._start_services(layout, first=False)
        await self._until_up(layout)
        self._save_endpoints(layout)
        self._status.state = "up"
        self._write_status(layout)
        return layout

    async def _start_services(self, layout: Layout, *, first: bool) -> None:
        for instance in layout.ports:
            if (instance.service in _FIRST) is first:
                await self._processes.start_service(layout, instance)

    def _save_endpoints(self, layout: Layout) -> None:
        """Write the file by which commands find the stack."""
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

    async def _until_up(self, layout: Layout) -> None:
        """Wait until every service is ready, and still is a moment later; or one of them does not stay up.

        Raises:
            CliError: a service cannot work with its settings.
        """
        deadline, steady = time.monotonic() + _UP_SECONDS, 0.0
        while not self._stopping.is_set() and time.monotonic() < deadline:
            await self._restart_ended(layout)
            if refused := self._processes.refused_settings():
                raise CliError(refused)
            self._not_ready = await not_ready(layout)
            steady = 0.0 if self._not_ready else steady or time.monotonic()
            if self._processes.do_not_stay_up() or (steady and time.monotonic() - steady >= _STEADY_SECONDS):
                break
            await asyncio.sleep(_TICK_SECONDS / 2)
        if self._processes.do_not_stay_up():
            self._not_ready = {}  # the exits of the process are the cause, and are reported

    def _named_engines(self) -> list[str]:
        """Return the sandbox engines that were asked for; none where the best one that works here is chosen."""
        named = self._options.sandbox or os.environ.get("SYNTHBENCH_ENGINES") or ""
        return [part.strip() for part in named.split(",") if part.strip()]

    async def _served_pools(self) -> list[str]:
        """Return the sandbox engines of the stack: those that were asked for, else the first that works here."""
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

    async def _rotate_logs(self) -> None:
        """Keep every log within its bound, while the processes write."""
        while True:
            try:
                await asyncio.to_thread(rotate_logs, self._data.logs)
            except OSError as error:
                self._log.warning("logs are not rotated", error=str(error))
            await asyncio.sleep(_ROTATE_SECONDS)

    async def _watch(self, layout: Layout) -> None:
        """Restart what ends, until it is time to end."""
        while not self._stopping.is_set():
            await _wait(self._stopping)
            if not self._stopping.is_set():
                await self._restart_ended(layout)
            if not self._stays() and not self._in_use() and await self._may_end(layout) and self._close_to_commands():
                return

    async def _may_end(self, layout: Layout) -> bool:
        """Whether no work is left; or it cannot be done now, and goes on at the next start."""
        return bool(self._problems()) or not await self._work_left(layout)

    def _problems(self) -> dict[str, str]:
        """Return why the stack is not whole, by process."""
        return {**self._not_ready, **self._processes.problems()}

    def _in_use(self) -> bool:
        """Whether a command uses the stack."""
        return self._data.is_shared("clients")

    async def _work_left(self, layout: Layout) -> str:
        """Return what work is left. As long as there is some, commands may attach: a terminal may have closed."""
        try:
            async with asyncio.timeout(_ASK_SECONDS), UnfinishedWork.connected(layout) as work:
                left = await work.describe()
        except (TimeoutError, NatsError, OSError) as error:  # a bus that ended is started again
            left = f"no answer yet: {type(error).__name__}"
        self._note_work(layout, left)
        return left

    def _note_work(self, layout: Layout, left: str) -> None:
        if left != self._status.unfinished:
            self._status.unfinished = left
            if left:
                self._log.info("waiting for work", left=left)
            self._write_status(layout)

    def _stays(self) -> bool:
        return self._stay or self._data.stay_file.exists()

    def _close_to_commands(self) -> bool:
        """Have no new command attach any more; False where one uses the stack."""
        lock = self._data.try_lock("clients")
        if lock is None:
            return False
        self._data.stack_file.unlink(missing_ok=True)
        lock.close()
        return True

    async def _restart_ended(self, layout: Layout) -> None:
        if await self._processes.restart_ended(layout):
            self._write_status(layout)

    async def _finish_work(self, layout: Layout) -> None:
        """Wait until what was submitted is curated, every outbox is empty and every event is handled."""
        self._status.state = "draining"
        self._write_status(layout)
        async with UnfinishedWork.connected(layout) as work:
            while not self._now.is_set():
                left = await work.describe()
                self._note_work(layout, left)
                if not left:
                    return
                await self._restart_ended(layout)
                await _wait(self._now)

    def _write_status(self, layout: Layout) -> None:
        try:
            self._status.write(
                layout,
                processes=self._processes.ids(),
                problems=self._problems(),
                postgres_port=self._processes.postgres_port,
                stay=self._stays(),
            )
        except OSError as error:  # a full disk
            self._log.warning("the state could not be written", error=str(error))


async def _wait(event: asyncio.Event) -> None:
    """Wait for an event, for a tick at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_TICK_SECONDS):
            await event.wait()


def main() -> int:
    """Hold the stack's lock, and run the stack; return the exit code.

    The reason of a failure is left in the data folder, for the command that waits.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--sandbox")
    parser.add_argument("--stay", action="store_true")
    for name in ("--replicas", "--executors", "--concurrency"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    data = DataDir(arguments.data_dir)
    deadline = time.monotonic() + _LOCK_SECONDS
    while (lock := data.try_lock("stack")) is None:
        if time.monotonic() > deadline:
            data.failure_file.write_text("another stack in this data folder does not end; see `synth-bench status`")
            return 1
        time.sleep(0.05)
    names = ("sandbox", "replicas", "executors", "concurrency")
    options = StackOptions.model_validate({name: getattr(arguments, name) for name in names})
    with lock:
        return _run_locked(data, stay=arguments.stay, options=options)


def _run_locked(data: DataDir, *, stay: bool, options: StackOptions) -> int:
    status = StatusFile(data, options)
    data.stack_file.unlink(missing_ok=True)  # of a supervisor that was killed, as is the other
    status.remove()
    try:
        asyncio.run(_run(data, stay=stay, options=options))
    except (CliError, ChassisError, SandboxError, DatabaseUnavailable, MigrationError) as error:
        data.failure_file.write_text(str(error))  # written for people: the cause and the cure
        sys.stderr.write(f"{error}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - logged whole; the command that waits gets one line
        log = data.logs / "supervisor.log"  # its stderr
        data.failure_file.write_text(f"unexpected {type(error).__name__}: {error}; the traceback is in {log}")
        setup_logging("supervisor", "INFO").exception("the stack ended by an unexpected error")
        return 1
    finally:
        status.remove()
        data.stay_file.unlink(missing_ok=True)
    return 0


async def _run(data: DataDir, *, stay: bool, options: StackOptions) -> None:
    await Supervisor(data, stay=stay, options=options).run()


if __name__ == "__main__":
    sys.exit(main())
