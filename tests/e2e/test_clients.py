"""A whole stack with two clients, one of them hostile: what it says does nothing to the other's work."""

import asyncio
import json
import time
from uuid import UUID, uuid4

import nats
import pytest
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError

from synthbench.contracts.ids import derived_id

pytestmark = [pytest.mark.one_stack, pytest.mark.timeout(240)]


async def connection(stack, user: str):
    secrets = stack.folder / "secrets"
    name = "nats-client" if user == "client" else f"nats-client-{user}"
    name = "nats-topology" if user == "topology" else name
    return await nats.connect(stack.endpoints().nats_url, user=user, password=(secrets / name).read_text())


async def said(stack, user: str, subject: str, *bodies: dict, **headers: str) -> None:
    """Publish as somebody, and wait for each acknowledgement."""
    client = await connection(stack, user)
    for body in bodies:
        await client.jetstream().publish(subject, json.dumps(body).encode(), headers=headers or None)
    await client.close()


def submit(stack, submission: UUID, **fields: object) -> None:
    body = {"task": "simple-task-001", "route": "sim/expert", "submission_id": str(submission), **fields}
    asyncio.run(said(stack, "client", "task.submitted", body))


def finished(stack, submission: UUID, seconds: float = 90) -> dict:
    """The catalogue's entry of its trajectory, once it is scored and curated."""
    deadline = time.monotonic() + seconds
    while True:
        listed = stack.json("trajectories", "list", f"submission:{submission}")
        if listed and listed[0].get("verdict") and listed[0].get("curation"):
            return listed[0]
        assert time.monotonic() < deadline, f"{listed}\n{stack.last_words()}"
        time.sleep(0.5)


def verification(submission: UUID, pool: str) -> dict:
    """What quality will ask of this submission's only trajectory, asked beforehand for nothing."""
    rollout = derived_id("rollout", submission, 0)
    trajectory = derived_id("trajectory", rollout, 1)
    return {
        "submission_id": str(submission), "campaign": "x", "rollout_id": str(rollout), "attempt": 1,
        "verification_id": str(derived_id("verification", "quality", trajectory)), "requested_by": "quality",
        "pool": pool, "task_digest": "sha256:" + "0" * 64, "diff": None,
    }  # fmt: skip


def test_forged_rejections_cancels_verifications_and_ids_leave_anothers_work_alone(stack):
    victims = uuid4()
    rollout = derived_id("rollout", victims, 0)
    pool = stack.status()["pools"][0]

    async def before() -> None:
        await said(stack, "mallory", f"verification.requested.{pool}", verification(victims, pool))
        for kind in ("attempt.closed", "attempt.finished"):
            taken = {"Nats-Msg-Id": str(derived_id(kind, rollout, 1))}
            await said(stack, "mallory", "task.submitted", {"task": "none"}, **taken)
        await said(stack, "mallory", "task.submitted", {"submission_id": str(victims), "task": ""})

    async def meanwhile() -> None:
        await said(stack, "mallory", "task.submitted", {"submission_id": str(victims), "task": ""})
        await said(stack, "mallory", "task.submitted", {"submission_id": str(victims), "task": "simple-task-001"})
        await said(
            stack, "mallory", "cancel.requested",
            {"submission_id": str(victims)}, {"rollout_id": str(rollout)}, {"campaign": "hers"},
        )  # fmt: skip

    asyncio.run(before())
    submit(stack, victims, campaign="hers")
    asyncio.run(meanwhile())
    found = finished(stack, victims)
    assert (found["outcome"], found["verdict"]) == ("solved", "accept")


async def test_a_client_is_told_of_its_own_rejections_alone(stack):
    heard: list[dict] = []
    victims = uuid4()

    async def on_message(message) -> None:
        heard.append(json.loads(message.data))

    client = await connection(stack, "client")
    await client.subscribe("task.rejected", cb=on_message)
    await client.flush()
    await said(stack, "mallory", "task.submitted", {"submission_id": str(victims), "task": ""})
    await said(stack, "client", "task.submitted", {"task": "no-such-task"})
    for _ in range(200):
        if heard:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    await client.close()
    assert [one["submitter"] for one in heard] == ["client"]


def test_requests_to_verify_in_a_pool_that_nobody_serves_starve_nobody(stack):
    unserved = next(pool for pool in ("docker", "process") if pool not in stack.status()["pools"])
    served = stack.status()["pools"][0]
    bodies = [verification(uuid4(), unserved) for _ in range(1100)]
    asyncio.run(said(stack, "mallory", f"verification.requested.{unserved}", *bodies))
    asyncio.run(said(stack, "mallory", f"verification.requested.{served}", *bodies[:50]))  # of another pool than named
    submission = uuid4()
    submit(stack, submission)
    assert finished(stack, submission)["verdict"] == "accept"


async def test_a_bare_publish_works_and_a_client_does_not_see_dead_letters(stack):
    client = await connection(stack, "client")
    with pytest.raises((NatsError, JetStreamError)):
        await client.jetstream(timeout=1).stream_info("DEAD")
    accepted = asyncio.get_running_loop().create_future()

    async def on_message(message) -> None:
        body = json.loads(message.data)
        if body["submitter"] == "client" and not accepted.done():
            accepted.set_result(body)

    await client.subscribe("task.accepted", cb=on_message)
    await client.publish("task.submitted", b'{"task": "simple-task-001", "scaffold": "nop"}')
    assert (await asyncio.wait_for(accepted, 20))["task"]["name"].endswith("simple-task-001")
    await client.close()


def test_dead_letters_are_listed_for_the_operator(stack):
    assert isinstance(stack.json("dead", "list"), list)
