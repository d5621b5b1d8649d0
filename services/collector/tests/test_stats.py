"""Statistics of the catalogue, against sums that are made another way."""

import csv
import io
from collections import defaultdict
from math import comb
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from bench.catalogue_rows import statements
from synthbench.cli.commands.stats import _csv
from synthbench.datasets.statistics import wilson
from synthbench.storage.database import Database

ROWS = 400


@pytest.fixture(autouse=True)
async def filled(database: Database) -> None:
    """Has four hundred trajectories of forty tasks."""
    async with database.connection() as connection:
        for statement in statements(ROWS):
            await connection.execute(cast("Any", statement.replace("'t' || n % 1000", "'t' || n % 40")))


async def rows_of(database: Database) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute("select * from trajectories where counted")).fetchall()


async def test_groups_are_what_their_rows_are(api: httpx.AsyncClient, database: Database):
    answer = await api.get("/v1/stats", params={"by": "scaffold, model", "k": [1, 2, 99], "filter": "-category:k3"})
    groups = answer.json()["groups"]
    expected: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in await rows_of(database):
        if row["category"] != "k3":
            expected[row["scaffold"], row["model"]].append(row)
    assert {(one["scaffold"], one["model"]) for one in groups} == set(expected)
    assert [one["n"] for one in groups] == sorted((one["n"] for one in groups), reverse=True)
    for one in groups:
        rows = expected[one["scaffold"], one["model"]]
        solved = [row for row in rows if row["outcome"] == "solved"]
        accepted = [row for row in rows if row["verdict"] == "accept"]
        assert (one["n"], one["tasks"]) == (len(rows), len({row["task"] for row in rows}))
        assert one["solved"] == wilson(len(solved), len(rows))
        assert one["accepted"] == wilson(len(accepted), len(rows))
        tokens = sum(row["input_tokens"] + row["output_tokens"] for row in rows)
        assert one["tokens"] == pytest.approx(tokens / len(rows))
        dollars = sum(row["cost_microusd"] for row in rows) / 1e6
        assert one["usd_an_accepted"] == (pytest.approx(dollars / len(accepted)) if accepted else None)
        chances = []
        for task in {row["task"] for row in rows}:
            n = sum(row["task"] == task for row in rows)
            c = sum(row["task"] == task for row in solved)
            chances += [1 - comb(n - c, 2) / comb(n, 2)] if n >= 2 else []
        assert one["pass_at"].get("2") == (pytest.approx(sum(chances) / len(chances)) if chances else None)
        assert one["pass_at"]["1"] >= 0
        assert "99" not in one["pass_at"]


async def test_days_add_up(api: httpx.AsyncClient, database: Database):
    days = (await api.get("/v1/stats/days")).json()["days"]
    rows = await rows_of(database)
    assert sum(day["stored"] for day in days) == len(rows)
    assert [day["day"] for day in days] == sorted(day["day"] for day in days)
    one = (await api.get("/v1/stats/days", params={"campaign": "c7"})).json()["days"]
    assert sum(day["solved"] for day in one) == sum(
        row["outcome"] == "solved" for row in rows if row["campaign"] == "c7"
    )


async def test_the_funnel_narrows(api: httpx.AsyncClient, database: Database):
    submission, rollouts = uuid4(), [uuid4() for _ in range(4)]
    async with database.connection() as connection:
        body = f'{{"rollout_ids": [{",".join(f"{chr(34)}{one}{chr(34)}" for one in rollouts)}]}}'
        await connection.execute("insert into submissions values (%s, 'mine', %s)", [submission, body])
        for attempt, rollout in [(1, rollouts[0]), (2, rollouts[0]), (1, rollouts[1]), (1, rollouts[2])]:
            await connection.execute(
                "insert into attempts (rollout_id, attempt, submission_id, campaign, state) "
                "values (%s, %s, %s, 'mine', 'stored')",
                [rollout, attempt, submission],
            )
        picked = await (
            await connection.execute("select trajectory_id from trajectories where counted limit 2")
        ).fetchall()
        for rollout, attempt, verdict, one in zip(rollouts, (2, 1), ("accept", None), picked, strict=False):
            await connection.execute(
                "update trajectories set rollout_id = %s, attempt = %s, verdict = %s, outcome = 'solved', "
                "curation = null where trajectory_id = %s",
                [rollout, attempt, verdict, one["trajectory_id"]],
            )
    (found,) = (await api.get("/v1/stats/funnel", params={"campaign": "mine"})).json()["campaigns"]
    stages = ("submitted", "ran", "stored", "solved", "scored", "accepted", "admitted")
    assert [int(found[stage]) for stage in stages] == [4, 3, 2, 2, 1, 1, 0]


async def test_what_there_is_not_is_said(api: httpx.AsyncClient):
    for params, words in (
        ({"by": "colour"}, "there is no 'colour'"),
        ({"by": ""}, "there is no ''"),
        ({"k": "0"}, "greater than or equal to 1"),
        ({"filter": "a:b"}, "there is no field 'a'"),
    ):
        answer = await api.get("/v1/stats", params=params)
        assert answer.status_code == (422 if "k" in params else 400)
        assert words in answer.text


async def test_as_a_table_of_commas(api: httpx.AsyncClient):
    groups = (await api.get("/v1/stats", params={"by": "scaffold"})).json()["groups"]
    read = list(csv.DictReader(io.StringIO(_csv(groups))))
    assert [row["scaffold"] for row in read] == [one["scaffold"] for one in groups]
    assert float(read[0]["solved_mean"]) == groups[0]["solved"]["mean"]
    assert float(read[0]["pass_at_1"]) == groups[0]["pass_at"]["1"]
