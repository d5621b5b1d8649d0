"""Starts and removes the containers of one engine process, and notices when the Docker engine is ill."""

import asyncio
import os
from collections.abc import Callable
from typing import TypeVar

import structlog

from synthbench.sandbox.docker.api import ENGINE_LABEL, ContainerPlan, DockerApi
from synthbench.sandbox.errors import EngineUnavailable, SandboxError
from synthbench.sandbox.host.metrics import BACKGROUND_FAILURES

T = TypeVar("T")
_ILL = 5  # failures one after the other
_REST = 10.0  # seconds until an ill engine is asked again
_LINGER = 5.0  # seconds a container may take to go away by itself
_LOOK = 1.0
_LOOK_LAST = 0.1
_LAST = 30.0


class Containers:
    """Starts and ends containers, off the event loop.

    Args:
        api: of the engine.
        engine: value of the label that all have.
        starts: how many start at once.
    """

    def __init__(self, api: DockerApi, engine: str, *, starts: int | None = None) -> None:
        self.api = api
        self._engine = engine
        self._starts = asyncio.Semaphore(starts or 2 * (os.cpu_count() or 2))
        self._failures = 0
        self._rested = 0.0
        self._leaving: dict[str, float] = {}
        self._janitor: asyncio.Task[None] | None = None
        self._closing = False
        self._log = structlog.get_logger("synthbench.sandbox")

    async def start(self, plan: ContainerPlan) -> None:
        """Start one, in its turn.

        Raises:
            EngineUnavailable: the engine failed several times, and is left alone for a while.
            SandboxError: it refused.
        """
        loop = asyncio.get_running_loop()
        async with self._starts:
            if self._failures >= _ILL and loop.time() < self._rested:
                raise EngineUnavailable(
                    f"the Docker engine failed {self._failures} times in a row", f"it is asked again within {_REST:g} s"
                )
            try:
                await self.call(lambda: self.api.start(plan))
            except SandboxError:
                self._failures += 1
                self._rested = loop.time() + _REST
                raise
            self._failures = 0

    async def call(self, work: Callable[[], T]) -> T:
        """Run blocking work in a thread, to its end even when cancelled: the container that it makes must be known."""
        task = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    async def kill(self, name: str) -> None:
        """Remove a container at once, whatever runs in it."""
        await self.call(lambda: self.api.remove(name))

    def leaves(self, name: str) -> None:
        """Make sure that a container which ends by itself is removed."""
        self._leaving[name] = asyncio.get_running_loop().time()
        if self._janitor is None or self._janitor.done():
            self._janitor = asyncio.create_task(self._see_off())

    async def _see_off(self) -> None:
        while self._leaving:
            await asyncio.sleep(_LOOK_LAST if self._closing else _LOOK)
            try:
                found = await self.call(lambda: self.api.containers(ENGINE_LABEL, self._engine))
                there = {one.name for one in found}
                now = asyncio.get_running_loop().time()
                for name, since in tuple(self._leaving.items()):
                    if name in there and now - since > _LINGER:
                        await self.kill(name)
                    elif name not in there:
                        self._leaving.pop(name, None)
            except Exception as error:  # noqa: BLE001 - whatever it was, the containers still have to go
                BACKGROUND_FAILURES.labels("janitor of containers").inc()
                self._log.warning("containers could not be seen off", error=str(error) or type(error).__name__)

    async def aclose(self) -> None:
        """Wait until all that leave have gone."""
        self._closing = True
        if self._leaving:
            last = asyncio.create_task(self._see_off())
            await asyncio.wait([last], timeout=_LAST)
            last.cancel()
        if self._janitor is not None:
            self._janitor.cancel()
