"""Showing how far many rollouts are: a bar on a terminal, elsewhere a line every few seconds."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from synthbench.cli.output import err, say
from synthbench.cli.rollout_tally import RolloutTally
from synthbench.contracts.cloudevents import Envelope

_LINE_SECONDS = 5.0
_BAR_SECONDS = 0.5
_BAR_WIDTH = 12


@asynccontextmanager
async def showing_progress(what: str, tally: RolloutTally) -> AsyncGenerator[Callable[[Envelope], None]]:
    """Show how far the rollouts of `what` are while the block runs; yields the listener of their events."""
    began = time.monotonic()

    def text() -> str:
        return f"{what}: {tally.line(time.monotonic() - began)}"

    say(f"{what}: {tally.total} rollouts")
    show = _bar(text, tally) if err.is_terminal else _lines(text)
    showing = asyncio.create_task(show)
    try:
        yield tally.apply
    finally:
        showing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await showing
        say(text())


async def _lines(text: Callable[[], str]) -> None:
    while True:
        await asyncio.sleep(_LINE_SECONDS)
        say(text())


async def _bar(text: Callable[[], str], tally: RolloutTally) -> None:
    wrapped = Column(no_wrap=False, overflow="fold")  # narrow terminals see all of it, on several lines
    columns = (BarColumn(bar_width=_BAR_WIDTH), TextColumn("{task.description}", markup=False, table_column=wrapped))
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task("", total=tally.total)
        while True:
            shown.update(task, completed=tally.finished, total=tally.total, description=text())
            await asyncio.sleep(_BAR_SECONDS)


@contextmanager
def reporting_interruption(tally: RolloutTally, found_by: str, place: str) -> Generator[None]:
    """Print after Ctrl-C how many rollouts are finished, and where their trajectories are.

    Args:
        tally: of the work in the block.
        found_by: a filter that finds its trajectories.
        place: where they are stored.
    """
    try:
        yield
    except asyncio.CancelledError:
        rest = tally.total - tally.finished
        say(
            f"interrupted: {tally.curated} of {tally.total} rollouts are finished and stored in {place} "
            f"(synth-bench trajectories list '{found_by}'); {rest} are cancelled"
        )
        raise


@contextmanager
def bar(what: str, total: int) -> Generator[Callable[[int], None]]:
    """Show a bar while the block runs; yields the function that takes how much of `total` is done."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err, transient=True
    ) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)
