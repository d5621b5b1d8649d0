"""`logs`: what all processes of the stack say, in one view."""

import asyncio
import contextlib
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from synthbench.cli import console
from synthbench.cli.log_lines import LogLine, at_least, merged, read_line
from synthbench.cli.output import printable
from synthbench.client.errors import CliError
from synthbench.embedded.datadir import default_data_dir
from synthbench.embedded.layout import SERVICES

_FOLLOW_SECONDS = 0.3
_TAIL_BYTES = 2 * 1024 * 1024
"""Only so many bytes at the end of each log are read."""


async def logs(
    service: str | None = None,
    /,
    *,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], negative="")] = False,
    lines: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 50,
    level: Literal["debug", "info", "warning", "error"] = "info",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Show the last log lines of all processes, by time.

    Args:
        service: Only of this one: a service, nats, postgres or supervisor.
        follow: Go on until Ctrl-C.
        lines: How many.
        level: Only lines as grave as this, or graver.
        json: One JSON object a line, with all fields.
    """
    folder = default_data_dir() / "logs"
    known = [*map(str, SERVICES), "nats", "postgres", "supervisor"]
    wanted = service.replace("-", "_") if service else None
    if wanted is not None and wanted not in known:
        raise CliError(f"there is no service {service!r}; there are {', '.join(known)}", exit_code=2)
    paths = [path for path in sorted(folder.glob("*.log")) if wanted is None or _process(path).split("-")[0] == wanted]
    positions = {path: path.stat().st_size for path in paths}
    found = [line for path in paths for line in _read(path, max(0, positions[path] - _TAIL_BYTES), positions[path])]
    shown = [line for line in merged(found) if at_least(level, line)]
    _print(shown[-lines:] if lines else [], json=json)
    while follow and not console.reader_is_gone():
        await asyncio.sleep(_FOLLOW_SECONDS)
        fresh: list[LogLine] = []
        for path in sorted({*paths, *folder.glob("*.log")}) if wanted is None else paths:
            with contextlib.suppress(FileNotFoundError):
                end = path.stat().st_size
                begin = positions.get(path, 0)
                fresh += _read(path, begin if begin <= end else 0, end)  # shorter than it was: it was rotated
                positions[path] = end
        _print([line for line in merged(fresh) if at_least(level, line)], json=json)


def _process(path: Path) -> str:
    return path.name.partition(".")[0]


def _read(path: Path, begin: int, end: int) -> list[LogLine]:
    with path.open("rb") as file:
        file.seek(begin)
        content = file.read(end - begin).decode("utf-8", errors="replace")
    return [read_line(_process(path), text) for text in content.splitlines() if text.strip()]


def _print(lines: list[LogLine], *, json: bool) -> None:
    if lines:
        console.write("".join(f"{line.to_json() if json else printable(line.text())}\n" for line in lines))
