"""Scaffolds side by side: shares and means with their 95 % intervals. Pure."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from synthbench.contracts.records import Outcome
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.statistics import mean, wilson

ALL = "all"
_MEASURES: Mapping[str, Callable[[Trajectory], float]] = {
    "steps": lambda one: len(one.steps),
    "tokens": lambda one: one.usage.input_tokens + one.usage.output_tokens,
    "cost_usd": lambda one: one.usage.cost_microusd / 1_000_000,
    "seconds": lambda one: one.timing.model_seconds + one.timing.tool_seconds,
}
"""`seconds` are on the agent's clock: of the model and of its tools."""


def compare(trajectories: Sequence[Trajectory], scaffolds: Sequence[str], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each task with each scaffold, then one for each scaffold over all tasks.

    Args:
        trajectories: what was made; those that ended by our own failure count as `failed`, and nowhere else.
        scaffolds: in the order of the rows.
        tasks: the same.

    Returns:
        Objects with `task` (`all` for the last ones), `scaffold`, `graded`, `failed`, `outcomes`, `solved` and, each
        as `{"mean", "low", "high"}`, the measures; None where nothing was graded.
    """
    by_both = [(task, scaffold) for task in tasks for scaffold in scaffolds]
    return [
        _row(task, scaffold, [one for one in trajectories if _is_of(one, task, scaffold)])
        for task, scaffold in [*by_both, *((ALL, scaffold) for scaffold in scaffolds)]
    ]


def _is_of(one: Trajectory, task: str, scaffold: str) -> bool:
    return one.rollout.scaffold == scaffold and task in (ALL, task_name(one))


def task_name(one: Trajectory) -> str:
    """Return the name of a trajectory's task as it is listed, without its organisation."""
    return one.rollout.task.name.rpartition("/")[2]


def _row(task: str, scaffold: str, recorded: Sequence[Trajectory]) -> dict[str, Any]:
    graded = [one for one in recorded if one.outcome.gradable]
    solved = sum(one.outcome is Outcome.SOLVED for one in graded)
    return {
        "task": task,
        "scaffold": scaffold,
        "graded": len(graded),
        "failed": len(recorded) - len(graded),
        "outcomes": dict(sorted(Counter(str(one.outcome) for one in recorded).items())),
        "solved": wilson(solved, len(graded)),
        **{name: mean([measure(one) for one in graded]) for name, measure in _MEASURES.items()},
        "cost_known": all(one.usage.cost_known for one in graded),
    }


HEADINGS = ("task", "scaffold", "n", "failed", "solved", "steps", "tokens", "cost, $", "seconds")


def cells(row: Mapping[str, Any]) -> list[str]:
    """A row as text, under `HEADINGS`: `mean (low to high)`."""
    numbers = (("solved", ".0%"), ("steps", ".1f"), ("tokens", ",.0f"), ("cost_usd", ".4f"), ("seconds", ".1f"))
    shown = [_shown(row[name], form) for name, form in numbers]
    if not row["cost_known"]:
        shown[3] = f"at least {shown[3]}"
    return [row["task"], row["scaffold"], str(row["graded"]), str(row["failed"]), *shown]


def _shown(found: Mapping[str, float] | None, form: str) -> str:
    if found is None:
        return "-"
    mean_, low, high = (format(found[name], form) for name in ("mean", "low", "high"))
    return mean_ if mean_ == low == high else f"{mean_} ({low} to {high})"


def markdown(title: str, rows: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> str:
    """The report as markdown."""
    lines = [f"# {title}", "", *(f"* {note}" for note in notes), ""]
    lines += [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in cells(row))} |" for row in rows]
    return "\n".join(lines) + "\n"
