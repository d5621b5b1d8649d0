"""Results of many trajectories added up, from the catalogue's entries. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthbench.client.amounts import cost_text

VERDICTS = ("accept", "review", "reject")


@dataclass(frozen=True)
class ResultTable:
    """A table with one row for each value of its first column, and one for all."""

    columns: list[str]
    rows: list[list[str]]


def result_totals(entries: Sequence[Mapping[str, Any]], by: str) -> ResultTable:
    """Add up the results of trajectories.

    Args:
        entries: of the catalogue, with `model` set to what people call it.
        by: `model` or `task`.

    Returns:
        How many trajectories, how many with each outcome and each verdict, and what they cost.
    """
    outcomes = [name for name, _ in Counter(str(one["outcome"]) for one in entries).most_common()]
    verdicts = [*VERDICTS, *sorted({_verdict(one) for one in entries} - set(VERDICTS))]
    verdicts = [name for name in verdicts if any(_verdict(one) == name for one in entries)]
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for one in entries:
        groups.setdefault(str(one[by]), []).append(one)
    rows = [_row(name, groups[name], outcomes, verdicts) for name in sorted(groups)]
    if len(groups) > 1:
        rows.append(_row("all", entries, outcomes, verdicts))
    return ResultTable([by, "runs", *outcomes, *verdicts, "cost"], rows)


def _verdict(entry: Mapping[str, Any]) -> str:
    return str(entry.get("verdict") or "no verdict")


def _row(name: str, entries: Sequence[Mapping[str, Any]], outcomes: list[str], verdicts: list[str]) -> list[str]:
    by_outcome, by_verdict = Counter(str(one["outcome"]) for one in entries), Counter(map(_verdict, entries))
    cost = sum(int(one["cost_microusd"]) for one in entries)
    known = all(one["cost_known"] for one in entries)
    counts = [str(by_outcome[one]) for one in outcomes] + [str(by_verdict[one]) for one in verdicts]
    return [name, str(len(entries)), *counts, cost_text(cost, known=known)]
