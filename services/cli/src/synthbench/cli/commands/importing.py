"""`trajectories import`: files of other agents, one by one, each once."""

import asyncio
import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from synthbench.cli import console
from synthbench.cli.client import StackClient
from synthbench.cli.errors import CliError
from synthbench.cli.session import session
from synthbench.contracts.ids import sha256_digest
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import ForeignError, Source, load_json, read
from synthbench.storage.trajectories import MEDIA_TYPE, encode

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".traj")
_LINES = (".jsonl", ".ndjson")
_MOST_BYTES = 1 << 30
"""Of one document."""
_TOLD = 20
Format = Literal["mini-swe-agent", "swe-agent", "atif", "messages"]


@dataclass
class Tally:
    """What became of the documents."""

    stored: int = 0
    there: int = 0
    refused: list[str] = field(default_factory=list[str])
    formats: Counter[str] = field(default_factory=Counter[str])
    left_out: Counter[str] = field(default_factory=Counter[str])


def add_to(app: App) -> None:
    """Put the command beside the others; `import` is no name that a function can have."""
    app.command(import_trajectories, name="import")


async def import_trajectories(
    *paths: Path,
    format: Format | None = None,  # noqa: A002 - the option's name
    labels: Path | None = None,
    scaffold: str = "",
    model: str = "",
    campaign: str = "imported",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Take over trajectories of mini-swe-agent, SWE-agent, ATIF, or OpenAI messages; see docs/import.md.

    What was imported already is left alone. One that cannot be read is told in a line, and the others go on.

    Args:
        paths: Files, or folders with .json, .jsonl, .ndjson and .traj files.
        format: Of all of them; by default what each one looks like.
        labels: A CSV file with the columns instance_id and resolved; wins over what the files say.
        scaffold: What made them, where they do not say.
        model: What it asked, where they do not say.
        campaign: Under which they are listed.
        dry_run: Read, and store nothing.
    """
    if not paths:
        raise CliError("name files or folders", exit_code=2)
    known = _labels(labels)
    files = [file for path in paths for file in _files(path)]
    plain = Source("", "", scaffold=scaffold, model=model, campaign=campaign)
    tally = Tally()
    if dry_run:
        for file in files:
            for source, data in _documents(file, tally):
                _read(source, data, plain, known, format, tally)
    else:
        async with session() as client:
            with console.bar("files", len(files)) as tell:
                for number, file in enumerate(files, 1):
                    for source, data in _documents(file, tally):
                        await _take(client, source, data, plain, known, format, tally)
                    tell(number)
    return _report(tally, len(files), dry_run=dry_run)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES and file.is_file())
        if not found:
            raise CliError(f"{path} has no files that end in {', '.join(_SUFFIXES)}", exit_code=2)
        return found
    if not path.is_file():
        raise CliError(f"{path} is not there", exit_code=2)
    return [path]


def _labels(path: Path | None) -> Mapping[str, bool]:
    if path is None:
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CliError(f"{path} cannot be read: {error}", exit_code=2) from error
    if not rows or not {"instance_id", "resolved"} <= rows[0].keys():
        raise CliError(f"{path} needs the columns instance_id and resolved", exit_code=2)
    return {row["instance_id"]: row["resolved"].strip().lower() in ("true", "1", "yes") for row in rows}


def _documents(file: Path, tally: Tally) -> Iterator[tuple[Source, bytes]]:
    """Each document of a file, its bytes as they are; of lines one at a time."""
    try:
        if file.suffix in _LINES:
            with file.open("rb") as lines:
                number = 0
                while line := lines.readline(_MOST_BYTES + 1):
                    if len(line) > _MOST_BYTES:
                        tally.refused.append(f"{file} line {number + 1}: more than {_MOST_BYTES >> 30} GiB")
                        return
                    if line.strip():
                        yield Source(file.name, sha256_digest(line), number), line
                    number += 1
        elif file.stat().st_size > _MOST_BYTES:
            tally.refused.append(f"{file}: more than {_MOST_BYTES >> 30} GiB")
        else:
            data = file.read_bytes()
            yield Source(file.name, sha256_digest(data)), data
    except OSError as error:
        tally.refused.append(f"{file}: {error.strerror}")


def _read(
    source: Source, data: bytes, plain: Source, labels: Mapping[str, bool], form: Format | None, tally: Tally
) -> Trajectory | None:
    """Read one; None where it is refused."""
    where = f"{source.file} line {source.number + 1}" if source.file.endswith(_LINES) else source.file
    try:
        document = load_json(data)
        source = replace(plain, file=source.file, digest=source.digest, number=source.number, original=plain.original)
        made, name = read(document, source, form)
        label = labels.get(made.rollout.task.name.removeprefix("imported/"))
        if label is not None:
            made, name = read(document, replace(source, resolved=label), form)
    except ForeignError as error:
        tally.refused.append(f"{where}: {error}")
        return None
    tally.formats[name] += 1
    assert made.imported is not None
    tally.left_out += Counter(made.imported.left_out)
    return made


async def _take(
    client: StackClient,
    source: Source,
    data: bytes,
    plain: Source,
    labels: Mapping[str, bool],
    form: Format | None,
    tally: Tally,
) -> None:
    made = await asyncio.to_thread(_read, source, data, plain, labels, form, tally)
    if made is None:
        return
    original = await client.store.put(data, media_type="application/json")
    assert made.imported is not None
    made = made.model_copy(update={"imported": made.imported.model_copy(update={"original": original})})
    artifact = await client.store.put(await asyncio.to_thread(encode, made), media_type=MEDIA_TYPE)
    answer: dict[str, Any] = await client.find("/v1/imports", method="POST", body=artifact.to_dict()) or {}
    if answer.get("state") == "there":
        tally.there += 1
    else:
        tally.stored += 1


def _report(tally: Tally, files: int, *, dry_run: bool) -> int:
    read_ = sum(tally.formats.values())
    formats = ", ".join(f"{count} {name}" for name, count in tally.formats.most_common())
    console.say(f"{files} files, {read_} trajectories read{f' ({formats})' if formats else ''}")
    if not dry_run:
        console.say(f"{tally.stored} stored, {tally.there} were there already")
    for name, count in tally.left_out.most_common(_TOLD):
        console.say(f"left out {count} times: {name}; the originals are kept as they were")
    for line in tally.refused[:_TOLD]:
        console.say(f"refused: {line}")
    if len(tally.refused) > _TOLD:
        console.say(f"refused: {len(tally.refused) - _TOLD} more")
    return 1 if tally.refused else 0
