"""The filter language: read, told what is wrong, and the same in Postgres as in plain Python."""

import operator
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from bench.catalogue_rows import FACETS, statements
from synthbench.collector.adapters.listing import ATTEMPTS, COLUMNS, NEWEST, conditions, listing
from synthbench.collector.adapters.reading import SQL
from synthbench.collector.domain.filtering import FIELDS, Filter, FilterError, Range, Term, parse
from synthbench.storage.database import Database

START = datetime(2026, 11, 1, tzinfo=UTC)


def test_terms_are_read():
    found = parse(
        'outcome:solved,unsolved -scaffold:oracle reward>=0.5 steps:5..20 stored>2026-11-01 "off by one" -nop'
    )
    assert found.terms == (
        Term("outcome", ":", ("solved", "unsolved")),
        Term("scaffold", ":", ("oracle",), negated=True),
        Term("reward", ">=", (0.5,)),
        Term("steps", ":", (Range(5.0, 20.0),)),
        Term("stored", ">=", (datetime(2026, 11, 2, tzinfo=UTC),)),
    )
    assert found.words == '"off by one" -nop'
    assert parse('task:"a b","c\\"d",e*').terms[0].values == ("a b", 'c"d', "e*")
    assert parse("verdict:none counted:true").terms == (Term("verdict", ":", (None,)), Term("counted", ":", (True,)))
    assert parse("reward=1") == parse("reward:1")
    assert parse("  ") == Filter()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("outcome:solved color:red", "character 16: there is no field 'color'; there are id,"),
        ("steps>many", "character 1: steps is a number, not 'many'"),
        ("steps:1..x", "steps is a number"),
        ("reward:nan", "reward is a number"),
        ("counted:maybe", "counted is true or false, not 'maybe'"),
        ("stored>yesterday", "stored is a day or a time, not 'yesterday'"),
        ("stored:0000-00-00", "a day or a time"),
        ("rollout:7x", "rollout is an id or the beginning of one, not '7x'"),
        ("task>a", "task has no order; write task:value"),
        ("steps>1,2", "steps> takes one value"),
        ('task:"open', "character 1: 'task:\"open' is no term"),
        ("a:b:c", "is no term|there is no field 'a'"),
        (">5", "is no term"),
        ("x" * 3000, "more than 2000 characters"),
        ("steps>1 " * 51, "more than 50 terms"),
        ("a\0b", "NUL"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, words: str):
    with pytest.raises(FilterError, match=words) as told:
        parse(text)
    assert "\n" not in str(told.value)


def row(chance: random.Random, number: int) -> dict[str, Any]:
    return {
        "trajectory_id": UUID(int=chance.getrandbits(128)), "rollout_id": uuid4(), "attempt": chance.randint(1, 3),
        "submission_id": uuid4(), "campaign": chance.choice(["night", "day", "50%_a\\b"]), "counted": number % 3 > 0,
        "task": chance.choice(["own/a", "own/b", "imported/x y", 'q"uote']), "category": chance.choice(["c1", "c2"]),
        "difficulty": "easy", "scaffold": chance.choice(["native", "oracle"]), "route": "r",
        "model": chance.choice(["gpt-4o", "gpt-4.1", ""]), "outcome": chance.choice(["solved", "unsolved"]),
        "reward": chance.choice([0.0, 0.5, 1.0]), "steps": chance.randint(0, 30), "seconds": chance.random() * 50,
        "input_tokens": chance.randint(0, 999), "output_tokens": chance.randint(0, 99),
        "cost_microusd": chance.randint(0, 2_000_000), "cost_known": chance.random() < 0.5,
        "simulated": chance.random() < 0.5, "forgeable": False, "incomplete": None, "detail": "", "artifact": Jsonb({}),
        "verdict": chance.choice([None, "accept", "reject"]), "aggregate": chance.choice([None, 0.25, 0.75]),
        "curation": None, "duplicate_of": None, "similarity": None,
        "stored_at": START + timedelta(hours=chance.randint(0, 96)),
        "imported": "atif" if number % 6 == 0 else None, "resolved": None,
    }  # fmt: skip


async def insert(database: Database, rows: list[dict[str, Any]]) -> None:
    names = list(rows[0])
    values = ", ".join(f"%({name})s" for name in names)
    query = f"insert into trajectories ({', '.join(names)}) values ({values})"
    async with database.connection() as connection:
        await connection.cursor().executemany(cast("Any", query), rows)


def holds(term: Term, one: Mapping[str, Any]) -> bool:
    """The same in Python, written another way."""
    value = {
        "tokens": lambda: one["input_tokens"] + one["output_tokens"],
        "cost": lambda: one["cost_microusd"] / 1_000_000,
    }.get(term.field, lambda: one[FIELDS[term.field][1]])()
    if term.op != ":":
        ordered: Any = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}[term.op]
        return value is not None and ordered(value, term.values[0])

    def fits(wanted: Any) -> bool:
        if wanted is None or value is None:
            return wanted is value
        if isinstance(wanted, Range):
            return wanted.low <= value and (value < wanted.high if wanted.open_end else value <= wanted.high)  # pyright: ignore[reportOperatorIssue] - the same kinds
        if isinstance(wanted, str) and "*" in wanted:
            return fnmatchcase(value, wanted)
        return value == wanted

    return any(map(fits, term.values))


TERMS = [
    "outcome:solved", "-outcome:solved", "verdict:none", "-verdict:accept", "verdict:accept,none", "model:gpt-4*",
    "model:*o", 'model:""', "campaign:50%*", 'campaign:"50%_a\\\\b"', "campaign:n*,day", 'task:"imported/x y"',
    'task:"q\\"uote"', "task:own/*", "reward>=0.5", "reward:0.5,1", "-reward>0", "steps:5..20", "steps<10", "steps>=30",
    "tokens>500", "cost<=0.75", "seconds>25", "aggregate>0.5", "-aggregate>0.5", "aggregate:none", "counted:true",
    "-counted:true", "imported:none", "imported:atif", "resolved:none", "stored>2026-11-02", "stored<=2026-11-02",
    "stored:2026-11-03", "stored:2026-11-02..2026-11-03", "stored<2026-11-02T12:00:00Z", "-stored:2026-11-01",
    "attempt:2", "category:c1", "scaffold:native",
]  # fmt: skip


async def test_postgres_finds_what_python_finds(database: Database):
    chance = random.Random(3)
    rows = [row(chance, number) for number in range(300)]
    await insert(database, rows)
    texts = TERMS + [" ".join(chance.sample(TERMS, chance.randint(2, 4))) for _ in range(80)]
    found_any = 0
    for text in texts:
        wanted = parse(text)
        query, values = listing(wanted, columns=["trajectory_id"], behind=None, limit=1000)
        async with database.connection() as connection:
            found = [one["trajectory_id"] for one in await (await connection.execute(query, values)).fetchall()]
        fitting = [one for one in rows if all(holds(term, one) is not term.negated for term in wanted.terms)]
        ordered = sorted(fitting, key=lambda one: (one["stored_at"], one["trajectory_id"]), reverse=True)
        assert found == [one["trajectory_id"] for one in ordered], text
        found_any += bool(found)
    assert found_any > len(TERMS)


async def test_pages_go_on_where_they_ended(database: Database):
    chance = random.Random(4)
    rows = [row(chance, number) for number in range(95)]  # many of them stored in the same hour
    await insert(database, rows)
    seen: list[UUID] = []
    behind: list[Any] | None = None
    while True:
        query, values = listing(Filter(), columns=["task"], behind=behind, limit=10)
        async with database.connection() as connection:
            page = await (await connection.execute(query, values)).fetchall()
        seen += [one["trajectory_id"] for one in page]
        if len(page) < 10:
            break
        behind = NEWEST.place(NEWEST.cursor(page[-1]))
    assert len(seen) == len(set(seen)) == 95


async def test_no_list_reads_the_whole_table(database: Database):
    async with database.connection() as connection:
        for statement in statements(20_000):
            await connection.execute(cast("Any", statement))
    one = (await rows_of(database, b"select * from attempts order by created_at limit 1 offset 9000"))[0]
    behind = ATTEMPTS.order.cursor(one)
    attempts = {
        "attempts": ATTEMPTS.query({}, None, 50),
        "attempts, a later page": ATTEMPTS.query({}, behind, 50),
        "attempts of a submission": ATTEMPTS.query({"submission_id": one["submission_id"]}, None, 50),
        "attempts of a rollout": ATTEMPTS.query({"rollout_id": one["rollout_id"]}, None, 50),
        "open attempts": ATTEMPTS.query({}, behind, 50, sql.SQL("state = 'open'")),
        "stored attempts": ATTEMPTS.query({}, None, 50, sql.SQL("state = 'stored'")),
    }
    trajectories = {text: listing(parse(text), columns=COLUMNS, behind=None, limit=50) for text in FACETS}
    async with database.connection() as connection:
        tasks = await (await connection.execute("explain " + SQL["list_tasks"], {"after": "", "limit": 9})).fetchall()
        plans = {"tasks": "\n".join(line["QUERY PLAN"] for line in tasks)}
        for name, (query, values) in {**attempts, **trajectories}.items():
            explained = await (await connection.execute(b"explain " + query.as_bytes(connection), values)).fetchall()  # pyright: ignore[reportArgumentType] - our own text
            plans[name] = "\n".join(line["QUERY PLAN"] for line in explained)
    for name, plan in plans.items():
        assert "Seq Scan on" not in plan, f"{name}\n{plan}"
    assert "Sort" not in plans["attempts, a later page"]


async def rows_of(database: Database, query: bytes) -> list[dict[str, Any]]:
    async with database.connection() as connection:
        return await (await connection.execute(query)).fetchall()


async def test_tasks_are_those_of_the_trajectories(api: httpx.AsyncClient, database: Database):
    chance = random.Random(5)
    await insert(database, [row(chance, number) for number in range(200)])
    wanted = await rows_of(
        database, b"select task, max(stored_at) as last from trajectories group by task order by task"
    )
    seen: list[dict[str, Any]] = []
    while found := (await api.get(f"/v1/tasks?limit=2&after={seen[-1]['task'] if seen else ''}")).json()["tasks"]:
        seen += found
    assert [one["task"] for one in seen] == [one["task"] for one in wanted]
    assert [datetime.fromisoformat(one["last_stored_at"]) for one in seen] == [one["last"] for one in wanted]


async def test_attempts_come_page_by_page(api: httpx.AsyncClient, database: Database):
    async with database.connection() as connection:
        for statement in statements(50):
            await connection.execute(cast("Any", statement))
    seen: list[str] = []
    path = "/v1/attempts?limit=20"
    while True:
        answer = (await api.get(path)).json()
        seen += [one["rollout_id"] for one in answer["attempts"]]
        if answer["next_cursor"] is None:
            break
        path = f"/v1/attempts?limit=20&cursor={quote(answer['next_cursor'])}"
    ordered = await rows_of(
        database, b"select rollout_id::text as r from attempts order by created_at desc, rollout_id desc"
    )
    assert seen == [one["r"] for one in ordered]
    for cursor in ("x", "2026-01-01|x|1", "2026-01-01", "|||"):
        assert (await api.get(f"/v1/attempts?cursor={quote(cursor)}")).status_code == 400, cursor
        assert (await api.get(f"/v1/trajectories?cursor={quote(cursor)}")).status_code == 400, cursor


def test_every_value_is_a_parameter():
    where, values = conditions(parse('task:"x\'; drop table trajectories; --" campaign:a*'))
    assert values == ["x'; drop table trajectories; --", "a%"]
    assert "drop" not in " ".join(part.as_string() for part in where)
