"""The auditor's queries: silent on what is right, and not silent on what is not."""

from pathlib import Path

import psycopg
import pytest
from psycopg.rows import DictRow

from synthbench.operations.audit.checks import ALWAYS, check_database, unless_settling
from synthbench.operations.audit.findings import Finding
from synthbench.operations.audit.machine import _containers
from synthbench.sandbox.engines import load_engine
from synthbench.sandbox.errors import EngineUnavailable

Connection = psycopg.AsyncConnection[DictRow]
ROLLOUT, SUBMISSION = "0196f000-0000-7000-8000-000000000000", "0196f000-0000-7000-8000-000000000001"


async def broken(connection: Connection) -> dict[str, list[str]]:
    return {one.invariant: list(one.culprits) async for one in check_database(connection, ALWAYS) if not one.held}


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


def test_calls_that_are_on_their_way_to_the_catalogue_are_no_broken_promise():
    lagging = Finding("ledger and catalogue know the same model calls", ["call 1: not in the catalogue"])
    assert unless_settling(lagging, 3).held
    assert unless_settling(lagging, 3).note == "not settled yet: 3 calls are on their way"
    assert not unless_settling(lagging, 0).held
    other = Finding("every closed attempt is stored", ["rollout 1"])
    assert unless_settling(other, 3) is other


def test_without_a_docker_engine_only_sandboxes_that_it_left_are_culprits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    (tmp_path / "docker" / ".engine-1").mkdir(parents=True)
    assert list(_containers(tmp_path / "none")) == []
    assert list(_containers(tmp_path / "docker")) == []
    (tmp_path / "docker" / "abc").mkdir()
    assert [one.split(":")[0] for one in _containers(tmp_path / "docker")] == ["abc"]


async def test_a_probe_without_an_engine_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    engine = load_engine("docker", root=tmp_path / "sandboxes")
    with pytest.raises(EngineUnavailable):
        await engine.probe()
    assert not (tmp_path / "sandboxes" / "docker").exists()
