"""`trajectories import`: files of other agents, one by one, each once."""

import asyncio
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from synthbench.cli import console
from synthbench.cli.progress_display import bar
from synthbench.cli.sessions import session
from synthbench.client.errors import CliError
from synthbench.client.stack_client import StackClient
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign import ForeignError, Source, digest_of, load_json, read
from synthbench.datasets.formats.provenance import instance_of
from synthbench.storage.trajectories import MEDIA_TYPE, encode
from synthbench.storage.walk import files_below

_SUFFIXES = (".json", ".jsonl", ".ndjson", ".traj")
_LINES = (".jsonl", ".ndjson")
_MOST_BYTES = 1 << 30
"""Largest document that is read."""
_TOO_LARGE = f"more than {_MOST_BYTES >> 30} GiB"
_SHOWN = 20
_NAMED = 5
_LABELS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
"""Words of the column `resolved`; an empty one says nothing."""
Format = Literal["mini-swe-agent", "swe-agent", "atif", "messages", "json"]


@dataclass(frozen=True)
class RefusedDocument:
    """A document that was not taken over."""

    file: str
    reason: str
    line: int | None = None
    """Line number, from 1; None for a file that is one document."""


@dataclass
class ImportCounts:
    """Counts of the documents of one import."""

    stored: int = 0
    there: int = 0
    refused: list[RefusedDocument] = field(default_factory=list["RefusedDocument"])
    labelled: set[str] = field(default_factory=set[str])
    """Instance ids of the labels that fitted a document."""
    unlabelled: int = 0
    """Documents that no label fits."""
    formats: Counter[str] = field(default_factory=Counter[str])
    left_out: Counter[str] = field(default_factory=Counter[str])


async def import_trajectories(
    *paths: Path,
    format: Format | None = None,  # noqa: A002 - the option's name
    labels: Path | None = None,
    scaffold: str = "",
    model: str = "",
    campaign: str = "imported",
    dry_run: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Take over trajectories of mini-swe-agent, SWE-agent, ATIF, OpenAI messages, or our own; see docs/import.md.

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
    counts = ImportCounts()
    if dry_run:
        for file in files:
            for source, data in _documents(file, counts):
                _read(source, data, plain, known, format, counts)
    else:
        async with session() as client:
            with bar("files", len(files)) as tell:
                for number, file in enumerate(files, 1):
                    for source, data in _documents(file, counts):
                        await _take(client, source, data, plain, known, format, counts)
                    tell(number)
    return _report(counts, len(files), known, dry_run=dry_run)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(file for file in files_below(path) if file.suffix in _SUFFIXES and file.is_file())
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
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CliError(f"{path} cannot be read: {error}", exit_code=2) from error
    if not rows or not {"instance_id", "resolved"} <= rows[0].keys():
        raise CliError(f"{path} needs the columns instance_id and resolved", exit_code=2)
    found: dict[str, bool] = {}
    for number, row in enumerate(rows, 2):
        name, word = (row["instance_id"] or "").strip(), (row["resolved"] or "").strip().lower()
        if not word:
            continue
        if word not in _LABELS:
            raise CliError(f"{path} line {number}: resolved is true or false, not {word[:40]!r}", exit_code=2)
        if found.setdefault(name, _LABELS[word]) is not _LABELS[word]:
            raise CliError(f"{path} line {number}: {name} is both resolved and not", exit_code=2)
    return found


def _documents(file: Path, counts: ImportCounts) -> Iterator[tuple[Source, bytes]]:
    """Each document of a file, its bytes as they are; of lines one at a time. The source has no digest yet."""
    try:
        if file.suffix in _LINES:
            with file.open("rb") as lines:
                number = 0
                while line := lines.readline(_MOST_BYTES + 1):
                    if len(line) > _MOST_BYTES:
                        counts.refused.append(
                            RefusedDocument(file.name, f"more than {_MOST_BYTES >> 30} GiB", number + 1)
                        )
                        return
                    if line.strip():
                        yield Source(file.name, "", number), line
                    number += 1
        elif file.stat().st_size > _MOST_BYTES:
            counts.refused.append(RefusedDocument(file.name, _TOO_LARGE))
        else:
            yield Source(file.name, ""), file.read_bytes()
    except OSError as error:
        counts.refused.append(RefusedDocument(file.name, error.strerror or str(error)))


def _read(
    source: Source, data: bytes, plain: Source, labels: Mapping[str, bool], form: Format | None, counts: ImportCounts
) -> Trajectory | None:
    """Read one; None where it is refused."""
    try:
        document = load_json(data)
        source = replace(plain, file=source.file, digest=digest_of(document), number=source.number)
        trajectory, name = read(document, source, form)
        instance = next((one for one in (instance_of(trajectory), source.stem) if one in labels), None)
        if instance is not None:
            trajectory, name = read(document, replace(source, resolved=labels[instance]), form)
            counts.labelled.add(instance)
    except ForeignError as error:
        line = source.number + 1 if source.file.endswith(_LINES) else None
        counts.refused.append(RefusedDocument(source.file, str(error), line))
        return None
    counts.unlabelled += instance is None
    counts.formats[name] += 1
    assert trajectory.imported is not None
    counts.left_out += Counter(trajectory.imported.left_out)
    return trajectory


async def _take(
    client: StackClient,
    source: Source,
    data: bytes,
    plain: Source,
    labels: Mapping[str, bool],
    form: Format | None,
    counts: ImportCounts,
) -> None:
    trajectory = await asyncio.to_thread(_read, source, data, plain, labels, form, counts)
    if trajectory is None:
        return
    original = await client.store.put(data, media_type="application/json")
    assert trajectory.imported is not None
    provenance = trajectory.imported.model_copy(update={"original": original})
    trajectory = trajectory.model_copy(update={"imported": provenance})
    artifact = await client.store.put(await asyncio.to_thread(encode, trajectory), media_type=MEDIA_TYPE)
    answer: dict[str, Any] = await client.find("/v1/imports", method="POST", body=artifact.to_dict()) or {}
    if answer.get("state") == "there":
        counts.there += 1
    else:
        counts.stored += 1


def _report(counts: ImportCounts, files: int, labels: Mapping[str, bool], *, dry_run: bool) -> int:
    read_ = sum(counts.formats.values())
    formats = ", ".join(f"{count} {name}" for name, count in counts.formats.most_common())
    console.say(f"{files} files, {read_} trajectories read{f' ({formats})' if formats else ''}")
    if not dry_run:
        console.say(f"{counts.stored} stored, {counts.there} were there already")
    if labels:
        _report_labels(counts, labels)
    for name, count in counts.left_out.most_common(_SHOWN):
        console.say(f"left out {count} times: {name}; the originals are kept as they were")
    lines = _refusals(counts.refused)
    for line in lines[:_SHOWN]:
        console.say(f"refused: {line}")
    if len(lines) > _SHOWN:
        console.say(f"refused: {len(lines) - _SHOWN} more")
    return 1 if counts.refused else 0


def _report_labels(counts: ImportCounts, labels: Mapping[str, bool]) -> None:
    without = sorted(labels.keys() - counts.labelled)
    if without:
        names = ", ".join(without[:_NAMED]) + (", …" if len(without) > _NAMED else "")
        console.say(f"{len(without)} of {len(labels)} labels fit no document: {names}")
    if counts.unlabelled:
        console.say(f"{counts.unlabelled} documents have no label")


def _refusals(refused: Sequence[RefusedDocument]) -> list[str]:
    """A line for each reason of a file; lines one after the other that are refused for the same one share it."""
    found: list[str] = []
    for (file, reason), group in groupby(refused, key=lambda one: (one.file, one.reason)):
        numbers = [one.line for one in group if one.line is not None]
        first, last = (numbers[0], numbers[-1]) if numbers else (0, 0)
        where = "" if not numbers else f" line {first}" if first == last else f" lines {first} to {last}"
        found.append(f"{file}{where}: {reason}")
    return found
