"""The connections and settings that all attempts of one executor process share."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from structlog.stdlib import BoundLogger

from synthbench.chassis.bus import Bus, instance_name
from synthbench.executor.adapters.packages import TaskPackageCache
from synthbench.executor.announcing import RecentEvents
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.storage.artifacts import ArtifactStore


@dataclass(frozen=True)
class AttemptServices:
    """The connections and settings that all attempts of one executor process share."""

    settings: ExecutorSettings
    bus: Bus
    store: ArtifactStore
    http: httpx.AsyncClient
    engines: Mapping[str, SandboxEngine]
    """The engine of each pool that this process serves, by the pool's name."""
    tests_engines: Mapping[str, SandboxEngine]
    """The engine that runs a pool's hidden tests, by the pool's name; a pool that is missing uses its own engine."""
    packages: TaskPackageCache
    recent: RecentEvents
    stop: asyncio.Event
    """Set when this process shall end."""
    log: BoundLogger

    @property
    def executor(self) -> str:
        """The name by which this process claims rollouts."""
        return instance_name("executor")
