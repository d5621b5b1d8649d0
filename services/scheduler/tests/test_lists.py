"""The lists of the scheduler's API: pages, states, and plans that do not read whole tables."""

from collections.abc import AsyncGenerator, Callable
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from synthbench.scheduler.adapters.overviews import MOVABLE, ROLLOUTS, SUBMISSIONS, Overviews
from synthbench.scheduler.adapters.store import SchedulerStore
from synthbench.scheduler.api import build_api
from synthbench.storage.api_calls import ApiCalls
from synthbench.storage.database import Database

_ROWS = """
insert into submissions (submission_id, campaign, body, state, max_cost_microusd, created_at)
select md5(n::text)::uuid, 'c' || n % 50, '{"scaffold": "s"}', case when n % 500 = 0 then 'open' else 'done' end, 0,
       timestamptz '2026-10-01' + n / 3 * interval '1 second'
from generate_series(1, 20000) n;
insert into rollouts (rollout_id, submission_id, campaign, body, pool, priority, state, created_at)
select md5('r' || n)::uuid, md5(n::text)::uuid, 'c' || n % 50, '{"task": {"name": "t"}, "sample": 1}', 'p', 1,
       case when n % 500 = 0 then 'running' else 'curated' end, timestamptz '2026-10-01' + n / 3 * interval '1 second'
from generate_series(1, 20000) n;
analyze submissions; analyze rollouts;
"""


@pytest.fixture
async def filled(migrated: Callable[..., SecretStr]) -> AsyncGenerator[Database]:
    database = Database(migrated("scheduler", "synthbench.scheduler"), "scheduler")
    await database.open()
    async with database.connection() as connection:
        for statement in filter(str.strip, _ROWS.split(";")):
            await connection.execute(statement.encode())
    yield database
    await database.close()


async def rows(database: Database, query: str) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


@pytest.fixture
async def api(filled: Database) -> AsyncGenerator[httpx.AsyncClient]:
    outbox = cast("Any", None)  # lists announce nothing
    app = build_api(SchedulerStore(filled, outbox), Overviews(filled), ApiCalls(filled))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client


async def test_no_list_reads_the_whole_table(filled: Database):
    (one,) = await rows(filled, "select * from rollouts order by created_at limit 1 offset 9000")
    behind = ROLLOUTS.order.cursor(one)
    queries = {
        "rollouts": ROLLOUTS.query({}, None, 50),
        "rollouts, a later page": ROLLOUTS.query({}, behind, 50),
        "rollouts of a campaign": ROLLOUTS.query({"campaign": "c7"}, behind, 50),
        "running rollouts": ROLLOUTS.query({"state": "running"}, None, 50),
        "curated rollouts": ROLLOUTS.query({"state": "curated"}, None, 50),
        "submissions": SUBMISSIONS.query({}, None, 50),
        "submissions of a campaign": SUBMISSIONS.query({"campaign": "c7"}, None, 50),
        "open submissions": SUBMISSIONS.query({"state": "open"}, None, 50),
        "open submissions that move": SUBMISSIONS.query({"state": "open"}, None, 1, MOVABLE),
    }
    async with filled.connection() as connection:
        for name, (query, values) in queries.items():
            explained = await (await connection.execute(b"explain " + query.as_bytes(connection), values)).fetchall()  # pyright: ignore[reportArgumentType] - our own text
            plan = "\n".join(line["QUERY PLAN"] for line in explained)
            assert "Seq Scan on" not in plan, f"{name}\n{plan}"


@pytest.mark.parametrize(("path", "key", "identity"), [
    ("/v1/rollouts?campaign=c7", "rollouts", "rollout_id"),
    ("/v1/submissions?campaign=c7", "submissions", "submission_id"),
    ("/v1/submissions?state=open", "submissions", "submission_id"),
])  # fmt: skip
async def test_pages_go_on_where_they_ended(
    api: httpx.AsyncClient, filled: Database, path: str, key: str, identity: str
):
    seen: list[str] = []
    cursor = ""
    while True:
        answer = (await api.get(f"{path}&limit=30{cursor}")).raise_for_status().json()
        seen += [one[identity] for one in answer[key]]
        if answer["next_cursor"] is None:
            break
        cursor = f"&cursor={quote(answer['next_cursor'])}"
    column, value = path.partition("?")[2].split("=")
    ordered = await rows(filled, f"select {identity}::text as i from {key} where {column} = '{value}' "
                         f"order by created_at desc, {identity} desc")  # fmt: skip
    assert seen == [one["i"] for one in ordered]
    assert len(seen) in (40, 400)


async def test_what_is_no_cursor_is_said(api: httpx.AsyncClient):
    for cursor in ("x", "2026-01-01|x", "|"):
        answer = await api.get(f"/v1/rollouts?cursor={quote(cursor)}")
        assert (answer.status_code, answer.json()["detail"]) == (400, "cursor: take it from next_cursor as it is")
