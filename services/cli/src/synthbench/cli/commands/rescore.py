"""`trajectories rescore`: the scalar anew, from the parts that are stored, under other weights."""

import json as jsonlib
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.sessions import session
from synthbench.client.errors import CliError
from synthbench.contracts.rewards import DEFAULT, parse_weights
from synthbench.operations.rescoring import rescored


async def rescore(
    *trajectories: str,
    weights: Annotated[str, Parameter(name=("--weights", "-w"))] = DEFAULT,
    filter: str = "",  # noqa: A002 - the option's name
    format: Literal["table", "json", "ndjson"] = "table",  # noqa: A002 - the option's name
) -> int:
    """Weigh stored reward parts anew; nothing is run, and the records stay as they are. See docs/rewards.md.

    Args:
        trajectories: Their ids; without any, all that fit.
        weights: Such as terminal=1,progress=0.3.
        filter: Which: 'campaign:mine outcome:solved'; see docs/catalogue.md.
        format: table, json (one list) or ndjson (one object a line).
    """
    try:
        wanted = parse_weights(weights)
    except ValueError as error:
        raise CliError(f"--weights: {error}", exit_code=2) from error
    rows: list[dict[str, Any]] = []
    async with session() as client:
        if trajectories:
            for one in trajectories:
                rows.append(rescored((await client.trajectory(one))[1], wanted))
                _print_line(rows[-1], format)
        else:
            async for entry in client.trajectories(filter):
                rows.append(rescored(await client.stored(entry), wanted))
                _print_line(rows[-1], format)
    if format == "json":
        console.show_json(rows)
    if format == "table":
        columns = ["trajectory_id", "task", "outcome", "before", "now", "missing"]
        console.table(columns, [[_text(row[column]) for column in columns] for row in rows])
    unmeasured = sum(bool(row["missing"]) for row in rows)
    if unmeasured:
        console.say(f"{unmeasured} of {len(rows)} lack a part that has a weight; it adds nothing to them")
    return 0


def _print_line(row: dict[str, Any], form: str) -> None:
    if form == "ndjson":
        console.out.print(jsonlib.dumps(row, ensure_ascii=False), markup=False, highlight=False, soft_wrap=True)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {why}" for name, why in value.items())  # pyright: ignore[reportUnknownVariableType] - of str
    return f"{value:g}" if isinstance(value, float) else str(value if value is not None else "-")
