"""What people see: steps as they are recorded, summaries, tables. All printing of the CLI happens here."""

import asyncio
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from synthbench.cli import tally
from synthbench.cli.errors import CliError
from synthbench.cli.output import err, escape, fail, out, printable, reader_is_gone, say, write
from synthbench.contracts.events import AttemptStarted, StepRecorded
from synthbench.contracts.loose import as_list, as_object, parse_object
from synthbench.contracts.records import Rollout
from synthbench.contracts.rewards import totals
from synthbench.contracts.steps import Observation, Step, ToolCall
from synthbench.contracts.trajectory import AttemptContext, Trajectory

__all__ = ["err", "fail", "out", "reader_is_gone", "say", "write"]

_WIDTH = 76
_SHORT = 8
_GAP = 2
"""Between columns of a table."""
_FOLDED = 16
"""Narrower than this the widest column is not folded."""
_VERDICT_STYLE = {"accept": "green", "review": "yellow", "reject": "red"}
_OUTCOME_STYLE = {"solved": "green", "infra_error": "red", "cancelled": "yellow"}


async def hand_over(text: str, output: Path | None) -> None:
    """Write a result: to a file, else to standard output.

    Raises:
        CliError: the file cannot be written.
    """
    if output is None:
        write(text)
        return
    try:
        await asyncio.to_thread(output.write_text, text, "utf-8")
    except OSError as error:
        raise CliError(f"{output}: {error.strerror}") from error
    say(f"wrote {output}")


def show_json(value: Any) -> None:
    """A result for programs."""
    write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def passage(title: str, text: str, lines: int | None) -> None:
    """Foreign text, indented and without control characters.

    Args:
        title: above it.
        text: of a task, a model or a tool.
        lines: at most so many are shown, and how many more there are; None shows all.
    """
    told = printable(text).strip("\n").splitlines()
    if not told or (not text.strip() and not title):
        return
    if title:
        out.print(f"[dim]{title}[/dim]")
    for line in told[:lines]:
        out.print(f"       {escape(line)}", soft_wrap=True)
    if lines is not None and len(told) > lines:
        out.print(f"       [dim]… {len(told) - lines} more lines; --full shows them[/dim]")


def short_id(identity: object, *, wide: bool = False) -> str:
    """An id for people: on a terminal its first digits, which commands take; in a pipe, or if `wide`, all of it."""
    text = str(identity)
    return text[:_SHORT] if out.is_terminal and not wide else text


def outcome(name: str) -> str:
    """An outcome in its colour."""
    style = _OUTCOME_STYLE.get(name, "yellow")
    return f"[{style}]{name}[/{style}]"


def verdict(name: str) -> str:
    """A verdict in its colour."""
    style = _VERDICT_STYLE.get(name, "white")
    return f"[{style}]{name}[/{style}]"


def started(event: AttemptStarted) -> None:
    """The head of an attempt."""
    rollout, box = event.rollout, event.context.sandbox
    driver = f"{rollout.scaffold} with {rollout.route}" if rollout.route else rollout.scaffold
    place = box.engine if box.isolated else f"{box.engine}, NOT ISOLATED"
    attempt = f", attempt {event.attempt}" if event.attempt > 1 else ""
    attempt += begun_after(event.context, rollout)
    out.print(
        f"[bold]{escape(rollout.task.name)}[/bold] ({rollout.task.category}, {rollout.task.difficulty})"
        f" · {escape(driver)} · {place}{attempt}"
    )


def begun_after(context: AttemptContext, rollout: Rollout) -> str:
    """Whose steps an attempt began with; empty where it began with none."""
    if context.resumed_from is None:
        return ""
    fork = rollout.forked_from
    whose = (
        f"attempt {context.resumed_attempt}" if context.resumed_attempt else f"trajectory {fork and fork.trajectory_id}"
    )
    return f", goes on after step {context.resumed_from} of {whose}"


def recorded(event: StepRecorded) -> None:
    """One step, as it is recorded."""
    out.print(step_line(event.step))


def step_line(step: Step) -> str:
    """One step on one line: number (from 0, as in the record), what was called, how it ended, seconds."""
    seconds = (step.finished_at - step.started_at).total_seconds()
    if step.kind == "condensation":
        said = escape(_clip(step.action.message.strip()))
        return f"  {step.index:>3}  [magenta]condensed[/magenta] {said}\n       [dim]old turns · {seconds:.2f} s[/dim]"
    calls = [_call(call) for call in step.action.tool_calls]
    action = "; ".join(calls) or _clip(step.action.message.strip() or "(no action)")
    answers = ", ".join(_answer(o) for o in step.observations)
    changed = f" · changed {len(step.state.changed)}" if step.state.changed else ""
    return f"  {step.index:>3}  {action}\n       [dim]{answers or 'ok'}{changed} · {seconds:.2f} s[/dim]"


def _call(call: ToolCall) -> str:
    arguments = parse_object(call.arguments)
    if not arguments:
        return f"[cyan]{escape(call.name)}[/cyan] {escape(_clip(call.arguments if call.error else ''))}"
    texts = [str(value).strip().split("\n")[0] for value in list(arguments.values())[:2]]
    return f"[cyan]{escape(call.name)}[/cyan] {escape(_clip(' '.join(texts)))}"


def _answer(observation: Observation) -> str:
    if observation.error:
        return f"[yellow]{escape(observation.error)}[/yellow]"
    lines = observation.content.count("\n") + (not observation.content.endswith("\n") and bool(observation.content))
    size = f"{lines} line{'s' if lines != 1 else ''}"
    return size if observation.exit_code in (None, 0) else f"[yellow]exit {observation.exit_code}[/yellow], {size}"


def _clip(text: str) -> str:
    text = text.replace("\n", " ⏎ ")
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def money(microusd: int, *, known: bool = True) -> str:
    """Micro-dollars for people."""
    return tally.cost_text(microusd, known=known)


def size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def summary(trajectory: Trajectory, detail: dict[str, Any], location: str) -> None:
    """The end of `generate-trajectory`: outcome, reward and its parts, scores, tokens, cost, where the JSON lies."""
    tests = trajectory.verification.tests if trajectory.verification else []
    passed = sum(test.status == "passed" for test in tests)
    parts = totals(trajectory.rewards) if trajectory.rewards else {}
    usage = trajectory.usage
    scores = [as_object(score) for score in as_list(detail.get("scores"))]
    rows = {
        "outcome": f"{outcome(trajectory.outcome)}  {escape(trajectory.detail)}",
        "reward": f"{trajectory.reward:g}  " + ", ".join(f"{name} {share:.2f}" for name, share in parts.items()),
        "tests": f"{passed} of {len(tests)} passed",
        "scores": ", ".join(f"{score['check']} {score['score']:.2f}" for score in scores) or "none",
        "verdict": f"{verdict(str(detail.get('verdict')))} (quality), {detail.get('curation')} (diversity)",
        "steps": str(len(trajectory.steps)),
        "tokens": f"{usage.input_tokens} in, {usage.output_tokens} out",
        "cost": money(usage.cost_microusd, known=usage.cost_known),
    }
    if trajectory.rollout.simulated:
        rows["note"] = "simulated: kept out of exports unless asked for by name"
    if imported := trajectory.imported:
        word = {True: "solved", False: "not solved", None: "nothing"}[imported.resolved]
        rows["imported"] = escape(f"{imported.format}, {imported.file}; it says {word}, and nothing was verified here")
    if refused := trajectory.context.sandbox.refused_hosts:
        rows["refused"] = f"the sandbox asked for {escape(_clip(', '.join(refused)))}, which it may not reach"
    if begun := begun_after(trajectory.context, trajectory.rollout):
        rows["begun"] = begun.removeprefix(", ")
    rows |= {"trajectory": str(trajectory.trajectory_id), "stored": escape(location)}
    for label, value in rows.items():
        out.print(f"[dim]{label:<12}[/dim]{value}")


def results(rows: list[dict[str, Any]]) -> None:
    """One row for each trajectory."""
    columns = ["task", "difficulty", "model", "outcome", "steps", "reward", "verdict", "curation", "seconds"]
    table(columns, [[_cell(row[name]) for name in columns] for row in rows])


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def campaign_totals(entries: list[dict[str, Any]]) -> None:
    """What came of many trajectories: by model, by task, and why those that are not solved ended."""
    for by in ("model", "task"):
        found = tally.totals(entries, by)
        table(found.columns, found.rows)
        out.print()


def table(columns: list[str], rows: list[list[str]]) -> None:
    """A plain table; where the terminal is too narrow for it, a block of lines for each row. Nothing is cut.

    A pipe or a file gets one line for each row, however long it is.
    """
    widths = [max(map(cell_len, (name, *cells))) for name, *cells in zip(columns, *rows, strict=True)]
    folded = widths.index(max(widths)) if widths else 0
    needed = sum(widths) + _GAP * (len(widths) - 1)
    spare = out.width - needed
    if out.is_terminal and spare < 0 and widths[folded] + spare < _FOLDED:
        _blocks(columns, rows)
        return
    # without a width of its own rich cuts the columns of a table that is wider than the console
    drawn = Table(box=None, header_style="bold", pad_edge=False, width=None if out.is_terminal else needed)
    for number, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=not (number == folded and out.is_terminal))
    for row in rows:
        drawn.add_row(*(escape(cell) for cell in row))
    out.print(drawn)


def _blocks(columns: list[str], rows: list[list[str]]) -> None:
    label = max(map(cell_len, columns))
    for number, row in enumerate(rows):
        if number:
            out.print()
        for name, cell in zip(columns, row, strict=True):
            if cell:
                out.print(f"[bold]{escape(name):<{label}}[/bold]  {escape(cell)}", soft_wrap=True)


def headline(text: str) -> None:
    """A part of a longer command."""
    out.print(f"\n[bold]{escape(text)}[/bold]")


@contextmanager
def bar(what: str, total: int) -> Generator[Callable[[int], None]]:
    """A bar; yields what is told how much is done."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err, transient=True
    ) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)
