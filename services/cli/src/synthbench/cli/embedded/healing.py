"""The bus after a full disk: it stays in its write error however much is free again, until it is started anew.

Nothing is lost by that: what it acknowledged is on disk, services connect again by themselves, and publishers go on
until they get an answer.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nats.errors import Error as NatsError
from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import ChassisError
from synthbench.cli.embedded.mending import Start
from synthbench.cli.embedded.nats import EmbeddedNats
from synthbench.cli.errors import CliError

ROOM_TO_WRITE = 256 * 1024 * 1024
"""Free bytes from which on the bus is started again."""
_LOOK_SECONDS = 2.0


@dataclass
class BusHealing:
    """Asks the bus now and then whether it can store, and starts it again when it could not and there is room.

    Args:
        nats: the server.
        free_bytes: tells the room on its disk.
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
    _looked: float = 0.0

    async def look(self) -> bool:
        """Do what is to be done, every two seconds at most; whether `error` changed."""
        if time.monotonic() < self._looked + _LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
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
            self.log.warning("the bus did not start", error=str(error))  # its process has ended: that is mended, too
