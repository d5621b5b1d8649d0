"""The one step that makes and changes streams and durables. Everyone else only binds to them.

`python -m synthbench.chassis.topology` runs it with the settings of the environment; running it again changes nothing.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError
from nats.js.errors import Error as JetStreamError
from pydantic import Field, SecretStr

from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import ChassisError, TopologyError
from synthbench.chassis.logging import setup_logging
from synthbench.chassis.settings import Settings, load_settings
from synthbench.chassis.undeclared import remove_undeclared
from synthbench.contracts.records import DEFAULT_POOLS
from synthbench.contracts.registry import DEFAULT_CLIENTS, Durable, Service, durables
from synthbench.contracts.streams import StreamSpec, streams

_ACK_WAIT = 30.0
_EXECUTOR_ACK_WAIT = 60.0
_MAX_ACK_PENDING = 1000
_COLLECTOR_MAX_ACK_PENDING = 5000
_DUPLICATE_WINDOW = 600.0
"""Longer than what is published again after a reconnect (twice the sync interval) and than a retry takes."""
_RETENTION = {
    "workqueue": api.RetentionPolicy.WORK_QUEUE,
    "interest": api.RetentionPolicy.INTEREST,
    "limits": api.RetentionPolicy.LIMITS,
}


class TopologySettings(Settings):
    """Beside the common ones."""

    nats_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of each stream; 3 in production."""
    nats_max_bytes: int = Field(default=0, ge=0)
    """Size limit of each stream in bytes; 0 takes the defaults of the contracts."""


@dataclass
class TopologyReport:
    """The streams and consumers that the topology step made, changed and removed, by name."""

    created: list[str] = field(default_factory=list[str])
    updated: list[str] = field(default_factory=list[str])
    unchanged: list[str] = field(default_factory=list[str])
    removed: list[str] = field(default_factory=list[str])
    """Consumers of ours, and streams of clients, that are declared no more."""


async def ensure_topology(
    js: JetStreamContext,
    *,
    clients: Sequence[str] = DEFAULT_CLIENTS,
    pools: Sequence[str] = DEFAULT_POOLS,
    stream_bytes: Mapping[str, int] | None = None,
    replicas: int = 1,
) -> TopologyReport:
    """Make the streams and durables as the registry declares them, and remove those that it declares no more.

    What waits for a consumer that goes is moved to the one that took its place, or to the dead letters.

    Raises:
        TopologyError: the server refuses a change, e.g. of a stream's retention.
    """
    report = TopologyReport()
    sizes = stream_bytes or {}
    specs = streams(clients, pools)
    there = {info.config.name for info in await js.streams_info()}
    # Those that are there give up subjects first that a new one takes over.
    for group in ([s for s in specs if s.name in there], [s for s in specs if s.name not in there]):
        await asyncio.gather(
            *(_stream(js, spec, sizes.get(spec.name, spec.max_bytes), replicas, report) for spec in group)
        )
    await asyncio.gather(*(_durable(js, durable, report) for durable in durables(clients, pools)))
    report.removed += await remove_undeclared(js, clients, pools)
    return report


async def _stream(
    js: JetStreamContext, spec: StreamSpec, max_bytes: int, replicas: int, report: TopologyReport
) -> None:
    wanted = api.StreamConfig(
        name=str(spec.name),
        subjects=list(spec.subjects),
        retention=_RETENTION[spec.retention],
        discard=api.DiscardPolicy.NEW,
        storage=api.StorageType.FILE,
        max_bytes=max_bytes,
        num_replicas=replicas,
        duplicate_window=_DUPLICATE_WINDOW,
        max_msgs_per_subject=spec.max_per_subject,
        discard_new_per_subject=spec.max_per_subject > 0,
    )
    name = f"stream {spec.name}"
    try:
        there = (await js.stream_info(str(spec.name))).config
    except NotFoundError:
        await _change(name, js.add_stream(wanted))  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
        report.created.append(name)
        return
    fields = (
        "subjects", "retention", "discard", "max_bytes", "num_replicas", "duplicate_window", "max_msgs_per_subject",
        "discard_new_per_subject",
    )  # fmt: skip
    if _differences(there, wanted, fields):
        await _change(name, js.update_stream(wanted))  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
        report.updated.append(name)
    else:
        report.unchanged.append(name)


async def _durable(js: JetStreamContext, durable: Durable, report: TopologyReport) -> None:
    executor, collector = durable.service is Service.EXECUTOR, durable.service is Service.COLLECTOR
    wanted = api.ConsumerConfig(
        durable_name=durable.name,
        filter_subject=durable.subject,
        ack_policy=api.AckPolicy.EXPLICIT,
        deliver_policy=api.DeliverPolicy.ALL,
        ack_wait=_EXECUTOR_ACK_WAIT if executor else _ACK_WAIT,
        max_deliver=-1,
        max_ack_pending=_COLLECTOR_MAX_ACK_PENDING if collector else _MAX_ACK_PENDING,
    )
    name = f"consumer {durable.name}"
    try:
        there = (await js.consumer_info(str(durable.stream), durable.name)).config
    except NotFoundError:
        await _change(name, js.add_consumer(str(durable.stream), wanted))  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
        report.created.append(name)
        return
    if _differences(there, wanted, ("filter_subject", "ack_policy", "ack_wait", "max_deliver", "max_ack_pending")):
        await _change(name, js.add_consumer(str(durable.stream), wanted))  # pyright: ignore[reportUnknownMemberType] - nats-py's own type is incomplete
        report.updated.append(name)
    else:
        report.unchanged.append(name)


def _differences(there: Any, wanted: Any, fields: Sequence[str]) -> list[str]:
    return [name for name in fields if getattr(there, name) != getattr(wanted, name)]


async def _change(name: str, change: Any) -> None:
    try:
        await change
    except (APIError, JetStreamError, TimeoutError) as error:
        reason = getattr(error, "description", None) or str(error) or type(error).__name__
        raise TopologyError(f"{name}: the server refuses the change: {reason}") from error


async def run_topology(url: str, user: str, password: SecretStr, **options: Any) -> TopologyReport:
    """Connect as the topology user and run the step.

    Raises:
        BusUnavailable: no server, or it refuses the user.
        TopologyError: see `ensure_topology`.
    """
    log = setup_logging("topology", "WARNING")
    bus = await Bus.connect(Service.TOPOLOGY, url, user, password, log)
    try:
        return await ensure_topology(bus.js, **options)
    finally:
        await bus.close()


def main() -> int:
    """Run the step, and say what it did."""
    try:
        settings = load_settings(TopologySettings)
        clients, pools, size = settings.client_names, settings.declared_pools, settings.nats_max_bytes
        sizes = {spec.name: size for spec in streams(clients, pools)} if size else None
        report = asyncio.run(
            run_topology(
                settings.nats_url,
                settings.nats_user,
                settings.nats_password,
                clients=clients,
                pools=pools,
                stream_bytes=sizes,
                replicas=settings.nats_replicas,
            )
        )
    except ChassisError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's answer
        return 1
    print(  # noqa: T201 - a command's answer
        f"created {len(report.created)}, updated {len(report.updated)}, unchanged {len(report.unchanged)}, "
        f"removed {len(report.removed)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
