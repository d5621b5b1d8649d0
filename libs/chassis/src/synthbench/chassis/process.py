"""The life of a service process: start, serve, drain. `run_service` is all that a `__main__` calls."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from pydantic import SecretStr
from structlog.stdlib import BoundLogger

from synthbench.chassis.access import Access, parse_tokens
from synthbench.chassis.background import keep_running
from synthbench.chassis.bus import Bus, instance_name
from synthbench.chassis.errors import BusUnavailable, ChassisError, SettingsError, one_line
from synthbench.chassis.health import Health
from synthbench.chassis.logging import setup_logging
from synthbench.chassis.redaction import redact
from synthbench.chassis.settings import Settings, load_settings
from synthbench.chassis.tasks import cancel_all
from synthbench.chassis.telemetry import setup_telemetry
from synthbench.contracts.registry import Service

Bootstrap = Callable[["Chassis"], Awaitable[None]]
NewLoop = Callable[[], asyncio.AbstractEventLoop]

_CALLBACK_SECONDS = 10.0
_FAILED, _BAD_SETTINGS = 1, 2


class Drainable(Protocol):
    """A consumer that can stop: it fetches no more; handlers finish, or their messages are negatively acknowledged."""

    async def drain(self, seconds: float) -> None:
        """Stop within about `seconds`."""
        ...


@dataclass
class Chassis:
    """Everything that a service process needs."""

    service: Service
    settings: Settings
    log: BoundLogger
    bus: Bus
    health: Health
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGTERM, SIGINT, and when a background task failed."""
    failure: BaseException | None = None
    _consumers: list[Drainable] = field(default_factory=list[Drainable])
    _flushes: list[Callable[[float], Awaitable[object]]] = field(
        default_factory=list[Callable[[float], Awaitable[object]]]
    )
    _callbacks: list[Callable[[], Awaitable[object]]] = field(default_factory=list[Callable[[], Awaitable[object]]])
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set[asyncio.Task[Any]])

    def task(self, name: str, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        """Run `work` in the background. If it fails, the process drains and exits non-zero: never half-dead."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def background(self, name: str, work: Callable[[], Awaitable[object]], *, every: float = 0.0) -> None:
        """Call `work` again and again until the process stops; see `keep_running`, which says what it survives."""
        self.task(name, keep_running(name, work, every=every, stop=self.stop, log=self.log))

    def _task_ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        self.failure = self.failure or task.exception()
        self.log.error("background task failed", task=task.get_name(), exc_info=task.exception())
        self.stop.set()

    def consumer(self, consumer: Drainable) -> None:
        """Drain this consumer at the end; consumers register themselves."""
        self._consumers.append(consumer)

    def flush(self, flush: Callable[[float], Awaitable[object]]) -> None:
        """Have it called with a time limit after the consumers have drained; outboxes register themselves."""
        self._flushes.append(flush)

    def on_drain(self, callback: Callable[[], Awaitable[object]]) -> None:
        """Have it called at the end, in order, after consumers, HTTP and background tasks, before the bus closes."""
        self._callbacks.append(callback)

    async def drain(self) -> None:
        """Stop in order: what brings work, what announces it, what runs beside it, what they all stand on."""
        seconds = self.settings.drain_seconds
        self.health.ready = False
        self.stop.set()
        await self._settled("consumers", *(consumer.drain(seconds) for consumer in self._consumers))
        await self._settled("http", self.health.close(seconds))
        await self._settled("outbox", *(flush(min(seconds, _CALLBACK_SECONDS)) for flush in self._flushes))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_CALLBACK_SECONDS) if tasks else None
        for callback in self._callbacks:
            await self._settled("drain callback", asyncio.wait_for(callback(), _CALLBACK_SECONDS))
        await self.bus.close()

    async def _settled(self, what: str, *work: Awaitable[object]) -> None:
        """One part that fails to stop must not keep the others from stopping."""
        for result in await asyncio.gather(*work, return_exceptions=True):
            if isinstance(result, BaseException):
                self.log.error("did not stop cleanly", what=what, error=one_line(result))


@asynccontextmanager
async def open_chassis(
    service: Service, settings: Settings, log: BoundLogger, stop: asyncio.Event | None = None
) -> AsyncGenerator[Chassis]:
    """Serve health, connect the bus, and drain everything at the end. Tests of services use it without a process.

    Raises:
        BusUnavailable: NATS does not answer or refuses the user.
        SettingsError: the HTTP port is taken.
    """
    callers = parse_tokens(settings.api_tokens, settings.api_token)
    health = Health(Access(callers, a_second=settings.api_requests_a_second, log=log))
    port = await health.serve(settings.http_host, settings.http_port)
    log.info("http listening", host=settings.http_host, port=port)
    try:
        bus = await _connect(service, settings, log, stop)
    except BaseException:
        await health.close(1)
        raise
    chassis = Chassis(service, settings, log, bus, health, stop or asyncio.Event())
    health.check("bus", bus.ping)
    chassis.task("bus connection", bus.watch())
    try:
        yield chassis
    finally:
        await chassis.drain()


async def _connect(service: Service, settings: Settings, log: BoundLogger, stop: asyncio.Event | None) -> Bus:
    """Connect the bus, unless the process is told to stop while it waits for it."""
    connecting = asyncio.create_task(
        Bus.connect(service, settings.nats_url, settings.nats_user, settings.nats_password, log)
    )
    stopping = asyncio.create_task((stop or asyncio.Event()).wait())
    try:
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not connecting.done():
            raise BusUnavailable("told to stop while waiting for the bus")
        return connecting.result()
    finally:
        await cancel_all(connecting, stopping)


def run_service(
    service: Service, settings_class: type[Settings], bootstrap: Bootstrap, *, new_loop: NewLoop | None = None
) -> NoReturn:
    """Run a service until SIGTERM or SIGINT, then drain. Exit code 0; 1 after a failure, 2 for wrong settings.

    Args:
        service: which one.
        settings_class: its settings.
        bootstrap: its wiring.
        new_loop: makes the event loop, where asyncio's own is too slow.
    """
    try:
        settings = load_settings(settings_class)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is not set up without settings
        sys.exit(_BAD_SETTINGS)
    redact(*(value for _, value in settings if isinstance(value, SecretStr)))
    log = setup_logging(service, settings.log_level)
    end_telemetry = setup_telemetry(service, settings.otlp_endpoint, instance=instance_name(service))
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            code = runner.run(_serve(service, settings, bootstrap, log))
    finally:
        end_telemetry()
    sys.exit(code)


def _calm_collector() -> None:
    """Let the garbage collector pass over what was loaded for good, and come less often: a service makes few cycles.

    A batch of 500 steps is more than 20,000 objects, none of them garbage while it is at hand.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


async def _serve(service: Service, settings: Settings, bootstrap: Bootstrap, log: BoundLogger) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with open_chassis(service, settings, log, stop) as chassis:
            await _live(chassis, bootstrap)
    except SettingsError as error:
        log.error("wrong settings", error=str(error))  # noqa: TRY400 - one line, no traceback, is what mends it
        return _BAD_SETTINGS
    except ChassisError as error:
        log.error("cannot start", error=str(error))  # noqa: TRY400 - as above
        return _FAILED
    except Exception:
        log.exception("failed")
        return _FAILED
    return _FAILED if chassis.failure else 0


async def _live(chassis: Chassis, bootstrap: Bootstrap) -> None:
    starting = asyncio.ensure_future(bootstrap(chassis))
    stopping = asyncio.create_task(chassis.stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _calm_collector()
            chassis.health.ready = True
            chassis.log.info("ready")
            await stopping
    finally:
        await cancel_all(starting, stopping)
    chassis.log.info("draining")
