"""The only wiring of the executor."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx

from synthbench.chassis.bus import instance_name
from synthbench.chassis.consumer import Consumer
from synthbench.chassis.errors import SettingsError
from synthbench.chassis.process import Chassis
from synthbench.contracts.records import Priority
from synthbench.contracts.registry import Service, durable, durables_of
from synthbench.contracts.rpc import ANNOUNCE, AnnouncementNoted, ExecutorAnnouncement
from synthbench.executor.adapters.packages import TaskPackageCache
from synthbench.executor.announcing import RecentEvents
from synthbench.executor.attempt.services import AttemptServices
from synthbench.executor.handlers import ExecutorHandlers
from synthbench.executor.scaffold import offered_scaffolds
from synthbench.executor.settings import ExecutorSettings
from synthbench.sandbox.docker.images import BuildPolicy
from synthbench.sandbox.domain.images import ImageRetention
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import SandboxError
from synthbench.sandbox.protocol import SandboxEngine
from synthbench.storage.artifacts import open_store

_REAP_SECONDS = 5.0
_ANNOUNCE_SECONDS = 30.0
_ANNOUNCE_AFTER_SECONDS = 1.0
"""Loading the scaffolds takes 0.15 s of CPU, which a stack that is just starting needs for what is waited for."""


async def bootstrap(chassis: Chassis) -> None:
    """Wire up the executor and start it."""
    settings = chassis.settings
    assert isinstance(settings, ExecutorSettings)
    engines = await _engines(settings)
    beside = await _tests_engines(chassis, settings, engines)
    all_engines = list({id(engine): engine for engine in (*engines.values(), *beside.values())}.values())
    for engine in all_engines:
        chassis.on_drain(engine.aclose)
    store = open_store(settings.artifacts_url)
    chassis.bus.use_payload_store(store)
    http = httpx.AsyncClient(trust_env=False)
    chassis.on_drain(http.aclose)
    recent = RecentEvents(chassis.bus, settings.nats_sync_seconds)
    services = AttemptServices(
        settings, chassis.bus, store, http, engines, beside, TaskPackageCache(store), recent, chassis.stop, chassis.log
    )
    handlers = ExecutorHandlers(services)

    permits = asyncio.Semaphore(settings.permits)
    for pool in engines:
        ready = [
            durable(Service.EXECUTOR, "task.ready", f"{pool}.{priority}", pools=settings.declared_pools)
            for priority in Priority
        ]
        Consumer(chassis, ready, handlers.on_ready, permits=permits).start()
    verifications = asyncio.Semaphore(settings.verification_permits)
    requested = durables_of(Service.EXECUTOR, "verification.requested", settings.client_names, tuple(engines))
    Consumer(chassis, requested, handlers.on_verification, permits=verifications, in_turn=True).start()
    chassis.health.check("artifacts", store.probe)
    chassis.background("scaffold announcement", partial(_announce_scaffolds, chassis), every=_ANNOUNCE_SECONDS)
    for engine in all_engines:
        chassis.background(f"reaper of {engine.name}", partial(_reap, chassis, engine), every=_REAP_SECONDS)


async def _announce_scaffolds(chassis: Chassis) -> None:
    """Tell the scheduler which scaffolds are installed here, and which of them can resume; it is waited for."""
    await asyncio.sleep(_ANNOUNCE_AFTER_SECONDS)
    offers = await asyncio.to_thread(offered_scaffolds, chassis.log)
    announcement = ExecutorAnnouncement(executor=instance_name("executor"), scaffolds=offers)
    await chassis.bus.request(ANNOUNCE, announcement, AnnouncementNoted, timeout=_ANNOUNCE_SECONDS)


async def _reap(chassis: Chassis, engine: SandboxEngine) -> None:
    """Remove what killed executors of this machine left."""
    for owner in await engine.reap():
        chassis.log.warning("took away an abandoned sandbox", owner=owner)


def _options(settings: ExecutorSettings, engine: str) -> dict[str, Any]:
    """Return the options that the settings give an engine."""
    if engine != "docker":
        return {}
    retention = ImageRetention(seconds=settings.image_days * 86_400, total_bytes=round(settings.image_gb * 1e9))
    builds = BuildPolicy(network=settings.build_network, memory_mb=settings.build_memory_mb, retention=retention)
    named = {"image": settings.sandbox_image, "runtime": settings.sandbox_runtime}
    network = {"network": settings.allow_network, "known_hosts": settings.egress_hosts}
    return {"builds": builds} | network | {name: value for name, value in named.items() if value}


async def _engines(settings: ExecutorSettings) -> dict[str, SandboxEngine]:
    """Load and try the engines.

    Raises:
        SettingsError: one is unknown, or does not work here.
    """
    engines: dict[str, SandboxEngine] = {}
    for name in (part.strip() for part in settings.engines.split(",") if part.strip()):
        if name not in settings.declared_pools:
            known = ", ".join(settings.declared_pools)
            raise SettingsError(
                f"SYNTHBENCH_ENGINES: there is no pool for {name!r}, only for {known}; name it in SYNTHBENCH_POOLS of "
                "every service"
            )
        try:
            engine = load_engine(name, root=settings.sandbox_root, **_options(settings, name))
            await engine.probe()
        except SandboxError as error:
            raise SettingsError(f"SYNTHBENCH_ENGINES: {name}: {error}") from error
        engines[name] = engine
    if not engines:
        raise SettingsError("SYNTHBENCH_ENGINES names no engine")
    return engines


async def _tests_engines(
    chassis: Chassis, settings: ExecutorSettings, engines: Mapping[str, SandboxEngine]
) -> dict[str, SandboxEngine]:
    """Hidden tests need no container: where bubblewrap works they run there, which starts in a few ms."""
    if "docker" not in engines:
        return {}
    bubblewrap = engines.get("bubblewrap")
    if bubblewrap is None:
        bubblewrap = load_engine("bubblewrap", root=settings.sandbox_root)
        try:
            await bubblewrap.probe()
        except SandboxError as error:
            await bubblewrap.aclose()
            chassis.log.info("hidden tests run in containers, too", because=str(error))
            return {}
    return {"docker": bubblewrap}
