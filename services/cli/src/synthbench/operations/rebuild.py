"""A lost bus made again from Postgres and the journal."""

from datetime import UTC, datetime

from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import BusUnavailable
from synthbench.chassis.topology import ensure_topology
from synthbench.client.errors import CliError
from synthbench.client.waiting import Say, say_nothing
from synthbench.contracts.journal import journal_event_id, read_journalled
from synthbench.contracts.registry import Service
from synthbench.contracts.rpc import OUTBOX_OWNERS, RepublishReply, RepublishRequest, republish_subject
from synthbench.operations.operator import Operator
from synthbench.storage.artifacts import ArtifactStore, key_uri

_BATCH = 20_000
"""Events that a service publishes again for one request."""
_REQUEST_SECONDS = 50.0


async def rebuild_bus(operator: Operator, say: Say = say_nothing) -> None:
    """Make missing streams and consumers, and publish outboxes and journals again.

    Each service publishes its own outbox. Consumers know what they have handled, so that nothing counts twice.

    Args:
        operator: of the stack.
        say: takes what was done.

    Raises:
        CliError: a service does not answer.
    """
    report = await ensure_topology(operator.bus.js, clients=operator.clients, pools=operator.pools)
    say(f"streams and consumers: {len(report.created)} made, {len(report.unchanged)} were there")
    before = datetime.now(UTC)
    again = [await _republish(operator.bus, service, before) for service in OUTBOX_OWNERS]
    say(f"outboxes: {sum(again)} events go out again")
    say(f"journal: {await _journals(operator.bus, operator.store)} events published again")


async def _republish(bus: Bus, service: Service, before: datetime) -> int:
    """Have a service publish its outbox again, a batch at a time; return how many events.

    Raises:
        CliError: the service does not answer.
    """
    total = 0
    while True:
        request = RepublishRequest(before=before, limit=_BATCH)
        try:
            reply = await bus.request(republish_subject(service), request, RepublishReply, timeout=_REQUEST_SECONDS)
        except BusUnavailable as error:
            raise CliError(f"the {service} does not publish its outbox again ({error}); run this again") from error
        total += reply.events
        if reply.events < _BATCH:
            return total


async def _journals(bus: Bus, store: ArtifactStore) -> int:
    count = 0
    async for key in store.list("journal/"):
        event = read_journalled(key, await store.get(key_uri(key)))
        await bus.publish(event, id=journal_event_id(event), timeout=30.0)
        count += 1
    return count
