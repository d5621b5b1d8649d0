"""Translates filters into SQL: each value becomes a parameter, names of columns are fixed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, LiteralString, cast
from uuid import UUID

from psycopg import sql

from synthbench.collector.domain.filtering import FIELDS, Filter, Range, Term, like
from synthbench.storage.pages import Listing, Order

COLUMNS = (
    "trajectory_id", "rollout_id", "attempt", "submission_id", "campaign", "counted", "task", "category", "difficulty",
    "scaffold", "route", "model", "outcome", "reward", "steps", "seconds", "input_tokens", "output_tokens",
    "cost_microusd", "cost_known", "simulated", "forgeable", "incomplete", "detail", "artifact", "verdict", "aggregate",
    "policy", "scores", "curation", "duplicate_of", "similarity", "stored_at", "forked_from", "forked_step",
    "resumed_from", "imported", "resolved",
)  # fmt: skip

NEWEST = Order({"stored_at": datetime, "trajectory_id": UUID})
"""Trajectories are listed in this order."""
ATTEMPTS = Listing(
    """
select rollout_id, attempt, submission_id, campaign, state, last, created_at, closed_at, stored_at, expired_at
from attempts""",
    Order({"created_at": datetime, "rollout_id": UUID, "attempt": int}),
)


def listing(
    wanted: Filter, *, columns: Sequence[str], behind: Sequence[Any] | None, limit: int
) -> tuple[sql.Composed, list[Any]]:
    """The query of a page by `NEWEST`, and its parameters. `columns` are some of `COLUMNS`, `behind` a place."""
    where, values = conditions(wanted)
    if wanted.words and not wanted.terms:
        where, values = _newest(wanted.words, behind, limit)
    elif behind is not None:
        where.append(NEWEST.behind)
        values += behind
    names = [sql.Identifier(name) for name in dict.fromkeys([*columns, *NEWEST.columns])]
    query = sql.SQL("select {} from trajectories {} {} limit %s").format(
        sql.SQL(", ").join(names), clause(where), NEWEST.by
    )
    return query, [*values, limit]


def count(wanted: Filter) -> tuple[sql.Composed, list[Any]]:
    """The query of how many fit, and its parameters."""
    where, values = conditions(wanted)
    return sql.SQL("select count(*) as total from trajectories {}").format(clause(where)), values


def values_of(field: str) -> sql.Composed:
    """The query of all values of a text field of filters."""
    column = sql.Identifier(FIELDS[field][1])
    return sql.SQL("select distinct {} as value from trajectories where {} is not null limit 1000").format(
        column, column
    )


def _newest(words: str, behind: Sequence[Any] | None, limit: int) -> tuple[list[sql.Composable], list[Any]]:
    """Condition of a filter that has words alone: their table finds the newest without reading the trajectories'."""
    where: list[sql.Composable] = [sql.SQL("words @@ websearch_to_tsquery('simple', %s)")]
    values: list[Any] = [words]
    if behind is not None:
        where.append(NEWEST.behind)
        values += behind
    found = sql.SQL("trajectory_id in (select trajectory_id from trajectory_words {} {} limit %s)").format(
        clause(where), NEWEST.by
    )
    return [found], [*values, limit]


def sums(wanted: Filter, by: Sequence[str]) -> tuple[sql.Composed, list[Any]]:
    """Sums of what counts, by some columns and the task; the fields are those of `domain.statistics`."""
    where, values = conditions(wanted)
    names = sql.SQL(", ").join(sql.Identifier(name) for name in by)
    query = sql.SQL(
        "select {names}, task as task_name, count(*) as n, count(*) filter (where outcome = 'solved') as solved, "
        "count(*) filter (where verdict = 'accept') as accepted, "
        "count(*) filter (where curation = 'admitted') as admitted, "
        "sum(steps)::float8 as steps, sum(seconds) as seconds, sum(input_tokens + output_tokens)::float8 as tokens, "
        "sum(cost_microusd)::float8 as cost_microusd, count(*) filter (where not cost_known) as cost_unknown "
        "from trajectories {where} group by {names}, task"
    ).format(names=names, where=clause([*_independent(wanted), *where]))
    return query, values


def _independent(wanted: Filter) -> list[sql.Composable]:
    """Conditions for independent samples of a task: counted, and no forks unless the filter names them."""
    forks = any(term.field == "forked_from" for term in wanted.terms)
    return [sql.SQL("counted")] if forks else [sql.SQL("counted"), sql.SQL("forked_from is null")]


def clause(where: Sequence[sql.Composable]) -> sql.Composable:
    """`where a and b`; nothing for no condition."""
    return sql.SQL("where ") + sql.SQL(" and ").join(where) if where else sql.SQL("")


def conditions(wanted: Filter) -> tuple[list[sql.Composable], list[Any]]:
    """Return the conditions of a filter, and their parameters."""
    where: list[sql.Composable] = []
    values: list[Any] = []
    for term in wanted.terms:
        condition, needed = _condition(term)
        where.append(sql.SQL("not coalesce({}, false)").format(condition) if term.negated else condition)
        values += needed
    if wanted.words:
        where.append(
            sql.SQL(
                "trajectory_id in (select trajectory_id from trajectory_words "
                "where words @@ websearch_to_tsquery('simple', %s))"
            )
        )
        values.append(wanted.words)
    return where, values


def _condition(term: Term) -> tuple[sql.Composable, list[Any]]:
    column = sql.SQL(cast("LiteralString", FIELDS[term.field][1]))
    if term.op != ":":
        return sql.SQL("{} {} %s").format(column, sql.SQL(cast("LiteralString", term.op))), list(term.values)
    parts: list[sql.Composable] = []
    values: list[Any] = []
    plain: list[Any] = []
    for value in term.values:
        if value is None:
            parts.append(sql.SQL("{} is null").format(column))
        elif isinstance(value, Range):
            end = sql.SQL("<" if value.open_end else "<=")
            parts.append(sql.SQL("({} >= %s and {} {} %s)").format(column, column, end))
            values += [value.low, value.high]
        elif isinstance(value, str) and (pattern := like(value)) is not None:
            parts.append(sql.SQL("{} like %s").format(column))
            values.append(pattern)
        else:
            plain.append(value)
    if len(plain) == 1:
        parts.append(sql.SQL("{} = %s").format(column))
        values += plain
    elif plain:
        parts.append(sql.SQL("{} = any(%s)").format(column))
        values.append(plain)
    return sql.SQL("({})").format(sql.SQL(" or ").join(parts)), values
