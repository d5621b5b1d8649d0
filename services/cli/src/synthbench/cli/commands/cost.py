"""`synth-bench cost`: what model calls cost."""

import csv as csvlib
import io
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.sessions import services_api
from synthbench.client.amounts import cost_text
from synthbench.contracts.loose import as_list, as_object

_COLUMNS: tuple[str, ...] = ("name", "tries", "answered", "input_tokens", "cached_tokens", "output_tokens",
            "cost_microusd", "unknown")  # fmt: skip


async def cost(
    *,
    by: Literal["model", "campaign", "category", "day"] = "model",
    campaign: str | None = None,
    since: str | None = None,
    until: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    csv: Annotated[Path | None, Parameter(name="--csv")] = None,
) -> None:
    """Add up what model calls cost, failed tries included. Days are UTC.

    Args:
        by: model, campaign, category or day.
        campaign: Only of this campaign.
        since: Only calls from this time on, such as 2026-11-24.
        until: Only calls before this time.
        json: Print the sums as JSON.
        csv: Write the sums into this file.
    """
    params = {"by": by, "campaign": campaign, "since": since, "until": until}
    async with services_api() as client:
        found = as_object(await client.find("/v1/costs", service="llm_gateway", params=params))
    rows: list[dict[str, Any]] = as_list(found.get("costs"))
    if csv is not None:
        await _write(csv, rows)
    elif json:
        console.show_json(rows)
    else:
        console.table([by, "tries", "answered", "tokens in", "of them cached", "tokens out", "cost",
                       "unknown"], [_cells(row) for row in rows])  # fmt: skip


def _cells(row: dict[str, Any]) -> list[str]:
    cost = cost_text(row["cost_microusd"], known=not row["unknown"])
    return [cost if column == "cost_microusd" else str(row[column]) for column in _COLUMNS]


async def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csvlib.DictWriter(text, _COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    await console.hand_over(text.getvalue(), path)
