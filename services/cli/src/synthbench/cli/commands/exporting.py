"""`trajectories export`: one trajectory as a document, or any number of them as JSON lines."""

import asyncio
import os
import sys
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.output import ReaderGone
from synthbench.cli.sessions import session
from synthbench.client.errors import CliError
from synthbench.client.stack_client import StackClient
from synthbench.client.waiting import Waiting
from synthbench.datasets.formats.export import FormatUnavailable, export_text, file_name, format_names, load_format
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound


def _installed(_type: object, name: str) -> None:
    """Refuse a format that no installed package has, or whose package cannot be loaded."""
    if name not in (names := format_names()):
        raise ValueError("Choose from: " + ", ".join(f'"{known}"' for known in names) + ".")
    try:
        load_format(name)
    except FormatUnavailable as error:
        raise ValueError(str(error)) from error


Format = Annotated[str, Parameter(validator=_installed)]
_AT_ONCE = 8
"""Trajectories that are read ahead: what bounds memory."""
_FIELDS = "trajectory_id,artifact,simulated"
_NAMES_SIMULATED = ("simulated:", "route:sim/", "model:sim/", "id:")
"""Filters with one of these ask for simulated trajectories by name."""
_SHOWN = 5


async def export(
    *trajectories: str,
    filter: str | None = None,  # noqa: A002 - the option's name
    format: Format = "json",  # noqa: A002 - the option's name
    output: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Write trajectories: the whole records, or what others read; see docs/exports.md.

    One id gives one document; several, or a filter, give JSON lines, of any number.

    Args:
        trajectories: Their ids, or the beginnings of them.
        filter: Which: 'campaign:mine outcome:solved'; see docs/catalogue.md. '' is all that are not simulated.
        format: json (the record), atif (Harbor's ATIF v1.8), messages (OpenAI messages with tools),
            or one that an installed package brings.
        output: A file, which must not be there, or for one trajectory a folder; - or nothing is standard output.
        overwrite: Replace the file if it is there.
    """
    if (filter is None) == (not trajectories):
        raise CliError("name trajectories by their ids, or give a --filter", exit_code=2)
    is_folder = output is not None and await asyncio.to_thread(output.is_dir)
    if is_folder and (filter is not None or len(trajectories) > 1):
        raise CliError(f"{output} is a folder; name a file", exit_code=2)
    _refuse_existing(output, overwrite=overwrite)
    async with session() as client:
        if filter is None and len(trajectories) == 1:
            _, found = await client.trajectory(trajectories[0])
            if output is not None and is_folder:
                output = output / file_name(found, format)
                _refuse_existing(output, overwrite=overwrite)
            if found.rollout.simulated:
                console.say("simulated: no work of a real model")
            with _opened(output) as file:
                _put(file, export_text(found, format, indent=2))
            done = Written(1)
        else:
            done = Written()
            with _opened(output) as file:
                await _lines(client, trajectories, filter, format, file, done)
    return done.report(output)


@dataclass
class Written:
    """Counts of one export."""

    count: int = 0
    simulated: int = 0
    """Left out, because nobody asked for them by name."""
    failed: int = 0

    def report(self, output: Path | None) -> int:
        """Print the counts; return the exit code."""
        where = "" if output is None or str(output) == "-" else f" into {output}"
        if where or self.count != 1:
            console.say(f"wrote {self.count} {'trajectory' if self.count == 1 else 'trajectories'}{where}")
        if self.simulated:
            console.say(f"left out {self.simulated} simulated ones; simulated:true in the filter asks for them")
        if self.failed:
            console.fail(f"{self.failed} could not be read")
        return 1 if self.failed else 0


async def _lines(
    client: StackClient, named: tuple[str, ...], wanted: str | None, form: Format, file: TextIO, done: Written
) -> None:
    """Read some ahead, and write them in their order."""
    ahead: deque[asyncio.Task[str]] = deque()
    waiting = Waiting(console.say)
    try:
        async for entry in _entries(client, named, wanted, done):
            ahead.append(asyncio.create_task(_line(client, entry, form)))
            if len(ahead) == _AT_ONCE:
                await _write_next(ahead, file, done)
            waiting(f"the export: {done.count} written")
        while ahead:
            await _write_next(ahead, file, done)
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)


async def _entries(
    client: StackClient, named: tuple[str, ...], wanted: str | None, done: Written
) -> AsyncGenerator[dict[str, Any]]:
    for one in named:
        yield await client.entry(one)
    if wanted is None:
        return
    by_name = any(part in wanted for part in _NAMES_SIMULATED)
    async for entry in client.lines("/v1/trajectories.ndjson", params={"filter": wanted, "fields": _FIELDS}):
        if entry["simulated"] and not by_name:
            done.simulated += 1
        else:
            yield entry


async def _line(client: StackClient, entry: dict[str, Any], form: Format) -> str:
    found = await client.stored(entry)
    return await asyncio.to_thread(export_text, found, form)


async def _write_next(ahead: "deque[asyncio.Task[str]]", file: TextIO, done: Written) -> None:
    try:
        text = await ahead.popleft()
    except (ArtifactNotFound, ArtifactCorrupt) as error:
        done.failed += 1
        if done.failed <= _SHOWN:
            console.fail(str(error))
        return
    _put(file, text)
    done.count += 1


def _put(file: TextIO, text: str) -> None:
    try:
        file.write(text)
    except BrokenPipeError as error:
        raise ReaderGone from error


def _refuse_existing(output: Path | None, *, overwrite: bool) -> None:
    if output is None or str(output) == "-":
        return
    if output.exists() and not overwrite and output.is_file():
        raise CliError(f"{output} is there already; name another file, or replace it with --overwrite", exit_code=2)


@contextmanager
def _opened(output: Path | None) -> Generator[TextIO]:
    """Standard output, or a file that is there when all of it is written.

    Raises:
        CliError: the file cannot be written.
    """
    if output is None or str(output) == "-":
        yield sys.stdout
        return
    if output.exists() and not output.is_file():  # /dev/null, a named pipe
        with output.open("w", encoding="utf-8") as file:
            yield file
        return
    try:
        descriptor, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        try:
            os.fchmod(descriptor, 0o644)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                yield file
            if Path(name).stat().st_size:  # of nothing there is no file
                Path(name).replace(output)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"{output}: {error.strerror or error}") from error
