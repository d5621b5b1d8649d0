"""`stats`: results by model, scaffold, task, …; the funnel; what came in on each day."""

import asyncio
import csv
import io
import json as jsonlib
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.sessions import services_api
from synthbench.client.amounts import cost_text
from synthbench.client.errors import CliError
from synthbench.contracts.loose import as_list, as_object

_BAR = 30
_STAGES = ("submitted", "ran", "stored", "solved", "scored", "accepted", "admitted")


async def stats(
    wanted: str = "",
    /,
    *,
    by: str = "model",
    k: Annotated[list[int] | None, Parameter(negative="")] = None,
    view: Literal["groups", "funnel", "days"] = "groups",
    campaign: str | None = None,
    format: Literal["table", "json", "csv", "parquet"] = "table",  # noqa: A002 - the option's name
    output: Path | None = None,
) -> None:
    """Say how results that count came out: shares with their 95 % intervals, pass@k, tokens, cost; docs/analytics.md.

    Args:
        wanted: A filter, as of trajectories list: 'campaign:mine -simulated:true'.
        by: Comma-separated: model, route, scaffold, category, difficulty, task, campaign, outcome, verdict, simulated.
        k: For pass@k, as often as wanted.
        view: groups, funnel (submitted to admitted, by campaign), or days.
        campaign: Of funnel and days: only this one.
        format: table, json, csv or parquet.
        output: A file; json and csv go to standard output by default.
    """
    path, key, params = {
        "groups": ("/v1/stats", "groups", {"filter": wanted, "by": by, "k": k or [1]}),
        "funnel": ("/v1/stats/funnel", "campaigns", {"campaign": campaign}),
        "days": ("/v1/stats/days", "days", {"campaign": campaign}),
    }[view]
    if view != "groups" and wanted:
        raise CliError(f"--view {view} takes --campaign, and no filter", exit_code=2)
    if format == "parquet" and output is None:
        raise CliError("--format parquet takes an --output", exit_code=2)
    async with services_api() as client:
        found = as_object(await client.find(path, params=params))
    rows = [as_object(one) for one in as_list(found.get(key))]
    if format == "json":
        await console.hand_over(jsonlib.dumps(rows, ensure_ascii=False, indent=2) + "\n", output)
    elif format == "csv":
        await console.hand_over(_csv(rows), output)
    elif format == "parquet" and output is not None:
        await asyncio.to_thread(_parquet, rows, output)
    elif not rows:
        console.say("nothing that counts")
    elif view == "groups":
        names = [name.strip() for name in by.split(",") if name.strip()]
        _groups(rows, names)
        if any(name in ("model", "route") and not row[name] for name in names for row in rows):
            console.say("-: no model was asked (oracle, nop, and attempts that ended before their first call)")
    elif view == "funnel":
        _funnel(rows)
    else:
        _days(rows)


def _groups(rows: list[dict[str, Any]], by: list[str]) -> None:
    ks = sorted({name for row in rows for name in as_object(row["pass_at"])}, key=int)
    headings = [
        *by,
        "n",
        "tasks",
        "solved",
        *(f"pass@{one}" for one in ks),
        "accepted",
        "steps",
        "tokens",
        "$/accepted",
    ]
    console.table(
        headings,
        [
            [
                *(str(row[name] if row[name] not in (None, "") else "-") for name in by),
                str(row["n"]),
                str(row["tasks"]),
                _share(row["solved"]),
                *(_percent(as_object(row["pass_at"]).get(one)) for one in ks),
                _share(row["accepted"]),
                f"{row['steps']:.1f}",
                f"{row['tokens']:,.0f}",
                _money(row),
            ]
            for row in rows
        ],
    )


def _share(found: Any) -> str:
    share = as_object(found)
    return f"{share['mean']:.0%} ({share['low']:.0%} to {share['high']:.0%})" if share else "-"


def _percent(value: Any) -> str:
    return f"{value:.0%}" if isinstance(value, float) else "-"


def _money(row: dict[str, Any]) -> str:
    if row["usd_an_accepted"] is None:
        return "-"
    return cost_text(round(row["usd_an_accepted"] * 1e6), known=row["cost_known"]).replace("$", "")


def _funnel(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        console.out.print(f"{row['campaign']}", markup=False)
        most = max(1, *(int(row[stage] or 0) for stage in _STAGES))
        for stage in _STAGES:
            console.out.print(
                f"  {stage:<10}{int(row[stage] or 0):>9,}  {_bar(int(row[stage] or 0), most)}", markup=False
            )


def _days(rows: list[dict[str, Any]]) -> None:
    most = max(1, *(int(row["stored"]) for row in rows))
    for row in rows:
        counts = f"{row['day']}  {row['stored']:>7,} stored {row['solved']:>7,} solved {row['accepted']:>7,} accepted"
        console.out.print(f"{counts}  {_bar(int(row['stored']), most)}", markup=False)


def _bar(value: int, most: int) -> str:
    return "█" * round(_BAR * value / most)


def _parquet(rows: list[dict[str, Any]], output: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415 - other commands do without  # pyright: ignore[reportMissingTypeStubs] - it has none
    from pyarrow import parquet  # noqa: PLC0415 - as above  # pyright: ignore[reportMissingTypeStubs] - as above

    flat = _flat(rows)
    columns = {name: [row.get(name) for row in flat] for row in flat for name in row}
    try:
        cast("Any", parquet).write_table(cast("Any", pa).table(columns), output)
    except OSError as error:
        raise CliError(f"{output}: {error.strerror or error}") from error
    console.say(f"wrote {output}")


def _flat(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for key, one in row.items() for name, value in _cells(key, one).items()} for row in rows]


def _csv(rows: list[dict[str, Any]]) -> str:
    flat = _flat(rows)
    names = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def _cells(key: str, value: Any) -> dict[str, Any]:
    inner = as_object(value)
    return {f"{key}_{name}": one for name, one in inner.items()} if inner else {key: None if value == {} else value}
