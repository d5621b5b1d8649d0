"""The states of a connection to NATS: refused, lost, reconnected, closed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from structlog.stdlib import BoundLogger

from synthbench.chassis.errors import one_line

Reconnected = Callable[[datetime], Awaitable[object]]
"""Called with the moment at which the connection was lost."""


class ConnectionWatcher:
    """Follows the state of a connection, and calls back those who registered for its changes."""

    def __init__(self, log: BoundLogger) -> None:
        self._log = log
        self.refused = asyncio.Event()
        self.closed = asyncio.Event()
        self.reconnected: list[Reconnected] = []
        self._lost_at: datetime | None = None

    @property
    def callbacks(self) -> dict[str, Callable[..., Awaitable[None]]]:
        """The callbacks under the names of nats-py's options."""
        return {
            "error_cb": self._on_error,
            "closed_cb": self._on_closed,
            "disconnected_cb": self._on_lost,
            "reconnected_cb": self._on_back,
        }

    async def _on_error(self, error: Exception) -> None:
        if "authorization" in str(error).lower():
            self.refused.set()
        self._log.warning("bus", error=str(error) or type(error).__name__)

    async def _on_closed(self) -> None:
        self.closed.set()

    async def _on_lost(self) -> None:
        self._lost_at = self._lost_at or datetime.now(UTC)

    async def _on_back(self) -> None:
        lost_at, self._lost_at = self._lost_at or datetime.now(UTC), None
        self._log.info("bus is back", lost_at=lost_at.isoformat())
        for callback in self.reconnected:
            try:
                await callback(lost_at)
            except Exception as error:  # noqa: BLE001 - one that fails must not keep the others from it
                self._log.warning("after a reconnect", error=one_line(error))
