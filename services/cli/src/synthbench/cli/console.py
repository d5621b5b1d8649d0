"""Tables, passages and documents on a terminal or in a pipe. `synthbench.cli.trajectory_view` shows trajectories."""

import asyncio
import json
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.table import Table

from synthbench.cli.output import err, escape, fail, out, printable, reader_is_gone, say, write
from synthbench.client.errors import CliError

__all__ = ["err", "fail", "out", "reader_is_gone", "say", "write"]

_SHORT = 8
_GAP = 2
"""Between columns of a table."""
_FOLDED = 16
"""Narrower than this the widest column is not folded."""


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
    shown = printable(text).strip("\n").splitlines()
    if not shown or (not text.strip() and not title):
        return
    if title:
        out.print(f"[dim]{title}[/dim]")
    for line in shown[:lines]:
        out.print(f"       {escape(line)}", soft_wrap=True)
    if lines is not None and len(shown) > lines:
        out.print(f"       [dim]… {len(shown) - lines} more lines; --full shows them[/dim]")


def short_id(identity: object, *, wide: bool = False) -> str:
    """An id for people: on a terminal its first digits, which commands take; in a pipe, or if `wide`, all of it."""
    text = str(identity)
    return text[:_SHORT] if out.is_terminal and not wide else text


def results(rows: list[dict[str, Any]]) -> None:
    """One row for each trajectory."""
    columns = ["task", "difficulty", "model", "outcome", "steps", "reward", "verdict", "curation", "seconds"]
    table(columns, [[_cell(row[name]) for name in columns] for row in rows])


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
