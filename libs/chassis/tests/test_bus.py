"""Publish and request: what the caller hears when the other side is full, away, or says no."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from structlog.stdlib import BoundLogger

from listening import SUBMITTED
from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import BusUnavailable, RequestRefused
from synthbench.chassis.process import Chassis
from synthbench.chassis.topology import ensure_topology
from synthbench.contracts.events import TaskSubmitted
from synthbench.contracts.ids import uuid7
from synthbench.contracts.model import Record
from synthbench.contracts.registry import Service
from synthbench.contracts.rpc import CLAIM, ClaimReply, ClaimRequest
from synthbench.embedded.children import free_port

if TYPE_CHECKING:
    from bus_fixtures import Watch

ASKED = ClaimRequest(rollout_id=uuid7(), executor="e", pool="bubblewrap")


async def test_a_full_stream_stalls_its_publishers_and_loses_nothing(chassis: Chassis, watch: "Watch"):
    bus = chassis.bus
    await ensure_topology(bus.js, stream_bytes={SUBMITTED.stream: 4000})
    sent = 0

    async def fill() -> None:
        nonlocal sent
        while sent < 100:
            await bus.publish(TaskSubmitted(task=f"task-{sent}"), timeout=0.5)
            sent += 1

    with pytest.raises(BusUnavailable, match=r"task.submitted not stored in CLIENT-operator: .*maximum bytes exceeded"):
        await fill()
    assert await watch.kept(bus, SUBMITTED.stream) == sent > 0
    waiting = asyncio.create_task(bus.publish(TaskSubmitted(task="patient"), timeout=10))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await ensure_topology(bus.js)
    await waiting
    assert await watch.kept(bus, SUBMITTED.stream) == sent + 1


async def test_the_same_id_is_stored_once(chassis: Chassis, watch: "Watch"):
    event_id = uuid7()
    for _ in range(3):
        await chassis.bus.publish(TaskSubmitted(task="t"), id=event_id)
    assert await watch.kept(chassis.bus, SUBMITTED.stream) == 1


async def test_a_subject_without_a_stream_is_an_error_not_a_loss(chassis: Chassis):
    await chassis.bus.js.delete_stream(SUBMITTED.stream)
    with pytest.raises(BusUnavailable, match=r"task.submitted not stored in CLIENT-operator"):
        await chassis.bus.publish(TaskSubmitted(task="t"), timeout=0.3)


async def test_nobody_there_is_one_line_with_the_mend(log: BoundLogger):
    url = f"nats://someone:hunter22@127.0.0.1:{free_port()}"
    with pytest.raises(BusUnavailable, match=r"no bus at .*; start it, or set SYNTHBENCH_NATS_URL") as caught:
        await Bus.connect(Service.CLIENT, url, "", SecretStr(""), log, patience=0.5)
    assert "hunter22" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_request_is_answered(chassis: Chassis):
    async def answer(request: ClaimRequest) -> Record:
        return ClaimReply(status="gone", reason=f"asked by {request.executor}")

    asking = asyncio.create_task(chassis.bus.request(CLAIM, ASKED, ClaimReply))
    await asyncio.sleep(0.15)  # nobody listens yet: that is waited for
    await chassis.bus.respond(CLAIM, ClaimRequest, answer)
    assert await asking == ClaimReply(status="gone", reason="asked by e")


async def test_a_refusal_says_why_field_by_field(chassis: Chassis):
    async def answer(request: ClaimRequest) -> Record:
        raise LookupError(f"no rollout\n{request.rollout_id}")

    await chassis.bus.respond(CLAIM, ClaimRequest, answer)
    with pytest.raises(RequestRefused, match=f"LookupError: no rollout {ASKED.rollout_id}$") as refused:
        await chassis.bus.request(CLAIM, ASKED, ClaimReply)
    assert refused.value.errors == []
    with pytest.raises(RequestRefused, match="malformed request: rollout_id: Field required") as refused:
        await chassis.bus.request(CLAIM, ClaimReply(status="busy"), ClaimReply)
    assert [item.field for item in refused.value.errors] == ["rollout_id", "executor", "pool"]


async def test_silence_ends_at_the_deadline(chassis: Chassis):
    with pytest.raises(BusUnavailable, match=f"nobody answers {CLAIM}"):
        await chassis.bus.request(CLAIM, ASKED, ClaimReply, timeout=0.3)
