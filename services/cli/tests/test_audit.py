"""The auditor's queries: silent on what is right, and not silent on what is not."""

import psycopg
from psycopg.rows import DictRow

from synthbench.cli.audit.checks import ALWAYS, database

Connection = psycopg.AsyncConnection[DictRow]
ROLLOUT, SUBMISSION = "0196f000-0000-7000-8000-000000000000", "0196f000-0000-7000-8000-000000000001"


async def broken(connection: Connection) -> dict[str, list[str]]:
    return {one.invariant: list(one.culprits) async for one in database(connection, ALWAYS) if not one.held}


async def closed_attempt(connection: Connection) -> None:
    await connection.execute(
        "insert into scheduler.submissions (submission_id, campaign, body, state, max_cost_microusd) "
        f"values ('{SUBMISSION}', 'c', '{{}}', 'failed', 0)".encode()
    )
    await connection.execute(
        "insert into scheduler.rollouts (rollout_id, submission_id, campaign, body, pool, priority, state) "
        f"values ('{ROLLOUT}', '{SUBMISSION}', 'c', '{{}}', 'p', 1, 'failed')".encode()
    )
    await connection.execute(
        "insert into scheduler.attempts (rollout_id, attempt, executor, lease_expires, deadline, closed_at, outcome) "
        f"values ('{ROLLOUT}', 1, 'e', now(), now(), now(), 'infra_error')".encode()
    )


async def test_an_empty_stack_holds_every_promise(connection: Connection):
    assert await broken(connection) == {}


async def test_an_attempt_without_a_trajectory_is_named_until_it_expires(connection: Connection):
    await closed_attempt(connection)
    found = await broken(connection)
    assert list(found) == ["every closed attempt is stored"]
    assert found["every closed attempt is stored"] == [f"rollout {ROLLOUT} attempt 1: unknown to the catalogue"]
    await connection.execute(
        "insert into catalogue.attempts (rollout_id, attempt, submission_id, campaign, state) "
        f"values ('{ROLLOUT}', 1, '{SUBMISSION}', 'c', 'stored')".encode()
    )
    assert await broken(connection) == {
        "every closed attempt is stored": [f"rollout {ROLLOUT} attempt 1: state stored"]
    }
    await connection.execute("update catalogue.attempts set expired_at = now()")
    assert await broken(connection) == {}
