"""Sandboxes that are started before they are asked for, of kinds that were asked for lately; each is used once."""

import asyncio
import math
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from synthbench.sandbox.host.metrics import BACKGROUND_FAILURES, WARM

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_WINDOW = 10.0  # seconds of demand that are looked at
_AHEAD = 1.0  # seconds of demand that are kept ready
_IDLE = 30.0  # seconds without demand until what is ready is given up


class WarmPool(Generic[K, V]):
    """Keeps as many ready as the demand of the last seconds asks for.

    Args:
        make: makes one; SandboxError where it cannot.
        discard: gives one up.
        usable: whether one that waited is still good.
        most: kept ready of all kinds together; 0 turns it off.
    """

    def __init__(
        self,
        make: Callable[[K], Awaitable[V]],
        discard: Callable[[V], Awaitable[None]],
        usable: Callable[[V], bool],
        *,
        most: int,
    ) -> None:
        self._make = make
        self._discard = discard
        self._usable = usable
        self._most = most
        self._ready: dict[K, deque[V]] = defaultdict(deque)
        self._making: dict[K, int] = defaultdict(int)
        self._taken: dict[K, deque[float]] = defaultdict(deque)
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self.hits = 0
        self.misses = 0

    async def take(self, kind: K) -> V:
        """Return one: a ready one, else a new one.

        Raises:
            SandboxError: it cannot be made.
        """
        now = asyncio.get_running_loop().time()
        self._taken[kind].append(now)
        ready = self._ready[kind]
        while ready:
            one = ready.popleft()
            if self._usable(one):
                self.hits += 1
                WARM.labels("yes").inc()
                self._fill(kind)
                return one
            self._background(self._discarded(one))
        self.misses += 1
        WARM.labels("no").inc()
        self._fill(kind)
        return await self._make(kind)

    def wanted(self, kind: K) -> int:
        """Return how many containers should be ready: a second's demand, if any demand repeats."""
        now = asyncio.get_running_loop().time()
        taken = self._taken[kind]
        while taken and now - taken[0] > _WINDOW:
            taken.popleft()
        if len(taken) < 2:
            return 0
        rate = len(taken) / max(1.0, now - taken[0])
        return min(self._most, max(1, math.ceil(rate * _AHEAD)))

    def _fill(self, kind: K) -> None:
        if self._closed:
            return
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._give_up())
        held = sum(map(len, self._ready.values())) + sum(self._making.values())
        missing = self.wanted(kind) - len(self._ready[kind]) - self._making[kind]
        for _ in range(min(missing, self._most - held)):
            self._making[kind] += 1
            self._background(self._make_ready(kind))

    async def _make_ready(self, kind: K) -> None:
        try:
            one = await self._make(kind)
        except Exception as error:  # noqa: BLE001 - whoever asks next is told
            _count_failure("making ready", error)
            return
        finally:
            self._making[kind] -= 1
        if self._closed:
            await self._discarded(one)
        else:
            self._ready[kind].append(one)

    async def _give_up(self) -> None:
        """End what nobody has asked for."""
        while any(self._ready.values()) or any(self._making.values()) or any(self._taken.values()):
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            for kind, ready in self._ready.items():
                taken = self._taken[kind]
                if taken and now - taken[-1] > _IDLE:
                    taken.clear()
                while ready and not taken:
                    await self._discarded(ready.popleft())

    async def _discarded(self, one: V) -> None:
        try:
            await self._discard(one)
        except Exception as error:  # noqa: BLE001 - the others are given up all the same; the reaper sees to this one
            _count_failure("giving up", error)

    def _background(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Give everything up."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._tasks:
            await asyncio.wait(self._tasks)
        for ready in self._ready.values():
            while ready:
                await self._discarded(ready.popleft())


def _count_failure(what: str, error: Exception) -> None:
    BACKGROUND_FAILURES.labels("warm pool").inc()
    structlog.get_logger("synthbench.sandbox").warning(
        "warm pool", failed=what, error=str(error) or type(error).__name__
    )
