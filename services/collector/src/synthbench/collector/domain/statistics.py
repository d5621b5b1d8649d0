"""Summarises counts by group and task: shares with intervals, pass@k, costs of an accepted trajectory. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from synthbench.datasets.statistics import pass_at_k, wilson

GROUPS = ("model", "route", "scaffold", "category", "difficulty", "task", "campaign", "outcome", "verdict", "simulated")
"""Columns by which results can be grouped."""
_SUMS = ("n", "solved", "accepted", "admitted", "steps", "seconds", "tokens", "cost_microusd", "cost_unknown")


def summarised(rows: Sequence[Mapping[str, Any]], by: Sequence[str], ks: Sequence[int]) -> list[dict[str, Any]]:
    """Return one summary for each group.

    Args:
        rows: sums of each group and task: the fields of `by`, `task_name`, and those of `_SUMS`.
        by: some of `GROUPS`.
        ks: for pass@k.

    Returns:
        Objects with the fields of `by`; `n`, `tasks`; `solved`, `accepted` and `admitted` as shares with Wilson's 95 %
        interval; `pass_at` by k, the mean over the tasks with so many samples; means a trajectory of `steps`,
        `seconds`, `tokens`; and tokens and US dollars for each accepted one, None where there is none.
    """
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    summaries = [{**dict(zip(by, key, strict=True)), **_group(tasks, ks)} for key, tasks in groups.items()]
    return sorted(summaries, key=lambda one: (-one["n"], *(str(one[name]) for name in by)))


def _group(tasks: Sequence[Mapping[str, Any]], ks: Sequence[int]) -> dict[str, Any]:
    total = {name: sum(task[name] for task in tasks) for name in _SUMS}
    n, accepted = total["n"], total["accepted"]
    chances = {k: [pass_at_k(task["n"], task["solved"], k) for task in tasks] for k in ks}
    known = {k: [chance for chance in found if chance is not None] for k, found in chances.items()}
    return {
        "n": n,
        "tasks": len(tasks),
        **{name: wilson(total[name], n) for name in ("solved", "accepted", "admitted")},
        "pass_at": {k: sum(found) / len(found) for k, found in known.items() if found},
        **{name: total[name] / n for name in ("steps", "seconds", "tokens")},
        "tokens_an_accepted": total["tokens"] / accepted if accepted else None,
        "usd_an_accepted": total["cost_microusd"] / 1_000_000 / accepted if accepted else None,
        "cost_known": total["cost_unknown"] == 0,
    }
