"""Restarting the bus after a full disk: it stays in its write error however much is free again.

Nothing is lost by the restart: what the server acknowledged is on disk, services connect again by themselves, and
publishers try again until they get an answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nats.errors import Error as NatsError
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import ChassisError
from synthbench.client.errors import CliError
from synthbench.embedded.nats import EmbeddedNats
from synthbench.embedded.restarts import Start

ROOM_TO_WRITE = 256 * 1024 * 1024
"""Free bytes from which on the bus is started again."""
_CHECK_SECONDS = 2.0


@dataclass
class BusRecovery:
    """Asks the bus now and then whether it can store; restarts it when it cannot and there is room again.

    Args:
        nats: the server.
        free_bytes: returns the free bytes of its disk.
        start: starts the server, and waits until it serves.
        log: of the supervisor.
        needed: free bytes from which on it is started again.
    """

    nats: EmbeddedNats
    free_bytes: Callable[[], int]
    start: Start
    log: BoundLogger
    needed: int = ROOM_TO_WRITE
    error: str = ""
    """Why it cannot store now; empty where it can."""
    _checked_at: float = 0.0

    async def check(self) -> bool:
        """Ask the server, every two seconds at most, and restart it if that helps; return whether `error` changed."""
        if time.monotonic() < self._checked_at + _CHECK_SECONDS:
            return False
        self._checked_at = time.monotonic()
        before, error = self.error, await self.nats.write_error()
        free = self.free_bytes()
        if error and free >= self.needed:
            self.log.warning("the bus is started again after a write error", error=error, free_mib=free >> 20)
            await self._restart()
            error = ""
        waits = f"; it is started again when {self.needed >> 20} MiB are free ({free >> 20} are)"
        self.error = f"cannot store: {error}{waits}" if error else ""
        return self.error != before

    async def _restart(self) -> None:
        await self.nats.stop()
        try:
            await self.start()
        except (CliError, ChassisError, NatsError, OSError, TimeoutError) as error:
            self.log.warning("the bus did not start", error=str(error))  # its process ended: `Restarts` starts it again
