"""The rewards of an attempt: its verification, and what the files after each step say, taken from their checkpoints."""

import asyncio
import base64
import io
import json
import sys
import tarfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from synthbench.chassis.errors import ChassisError, one_line
from synthbench.contracts.rewards import STEPWISE, Rewards, StepRewards, weighed
from synthbench.contracts.verification import VerificationResult
from synthbench.executor import look_at_files
from synthbench.executor.domain.shaping import (
    LOOKED_AT,
    Change,
    Look,
    evenly,
    file_parts,
    passing,
    state_after,
    test_parts,
    whole_parts,
)
from synthbench.sandbox.errors import SandboxError
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import StorageError
from synthbench.tasks import TaskPackage

_LOOK_SECONDS = 40.0
_FILE_BYTES = 256 * 1024
_ALL_BYTES = 32 * 1024 * 1024
_BY_TESTS, _BY_FILES = ("progress", "regression"), ("parses", "lint")
Verify = Callable[[Sequence[bytes]], Awaitable[VerificationResult]]
"""Runs the hidden tests against the workspace with these archives applied, one after the other."""


@dataclass(frozen=True)
class Bounds:
    """How far measuring may go."""

    states: int
    """So many steps at most are followed by a run of the tests."""
    seconds: float


class _Unmeasured(Exception):
    """Why a part could not be measured."""


@dataclass
class _Found:
    steps: dict[int, dict[str, float]] = field(default_factory=dict[int, dict[str, float]])
    missing: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, index: int, parts: Mapping[str, float], wanted: Mapping[str, float]) -> None:
        kept = {name: value for name, value in parts.items() if name in wanted}
        if kept:
            self.steps.setdefault(index, {}).update(kept)


async def measure(
    package: TaskPackage,
    store: ArtifactStore,
    changes: Sequence[Change],
    result: VerificationResult,
    *,
    steps: int,
    weights: Mapping[str, float],
    verify: Verify,
    bounds: Bounds,
) -> Rewards:
    """Measure what the weights name, and the parts of the whole anyway.

    Args:
        package: the task.
        store: has the checkpoints.
        changes: of the steps that changed files, in order.
        result: the attempt's verification, without an error.
        steps: taken.
        weights: by part.
        verify: see `Verify`.
        bounds: of measuring steps.

    Returns:
        The rewards; what could not be measured is in `missing`, and nothing is raised for it.
    """
    expected = package.own.expected_steps if "expected_steps" in package.own.model_fields_set else None
    parts = whole_parts(result, steps=steps, expected_steps=expected)
    found = _Found()
    for group, measured in ((_BY_TESTS, _by_tests), (_BY_FILES, _by_files)):
        wanted = {name: weight for name, weight in weights.items() if name in group}
        if not wanted:
            continue
        try:
            async with asyncio.timeout(2 * bounds.seconds):
                await measured(package, store, changes, result, found, wanted, verify, bounds)
        except TimeoutError:
            found.missing |= dict.fromkeys(wanted, f"not measured within {2 * bounds.seconds:g} s")
        except (_Unmeasured, StorageError, SandboxError, ChassisError, OSError) as error:
            found.missing |= dict.fromkeys(wanted, one_line(error))
    absent = {name: _why_absent(name) for name in weights if name not in parts and name not in STEPWISE}
    by_step = [StepRewards(index=index, parts=one) for index, one in sorted(found.steps.items())]
    return weighed(Rewards(parts=parts, steps=by_step, missing={**found.missing, **absent}), weights)


def _why_absent(name: str) -> str:
    return "the task names no expected steps" if name == "efficiency" else "the task names no required tests"


async def _by_tests(
    package: TaskPackage,
    store: ArtifactStore,
    changes: Sequence[Change],
    result: VerificationResult,
    found: _Found,
    wanted: Mapping[str, float],
    verify: Verify,
    bounds: Bounds,
) -> None:
    """Run the hidden tests after the steps; the last one's run is the attempt's own."""
    required = frozenset({*package.own.fail_to_pass, *package.own.pass_to_pass})
    if result.forgeable or not required:
        raise _Unmeasured("its tests are not run a second time: the task comes with tests of a foreign kind")
    archives = await _checkpoints(store, changes)
    until = monotonic() + bounds.seconds
    before = frozenset(package.own.pass_to_pass)
    seen = {state_after(changes): passing(result, required), frozenset[tuple[str, str, str | None]](): before}
    looked = evenly(len(changes), bounds.states)
    for number in looked:
        state = state_after(changes[: number + 1])
        if state not in seen:
            if monotonic() > until:
                found.missing |= dict.fromkeys(wanted, f"after {bounds.seconds:g} s only the last step was looked at")
                continue
            tested = await verify(archives[: number + 1])
            if tested.error is not None:
                raise _Unmeasured(f"step {changes[number].index}: {tested.error}")
            seen[state] = passing(tested, required)
        found.add(changes[number].index, test_parts(before, seen[state], len(required)), wanted)
        before = seen[state]
    if len(looked) < len(changes):
        told = f"tests ran after {len(looked)} of {len(changes)} changing steps; the others count with the next of those"
        found.missing |= {name: told for name in wanted if name not in found.missing}


async def _by_files(
    package: TaskPackage,
    store: ArtifactStore,
    changes: Sequence[Change],
    _result: VerificationResult,
    found: _Found,
    wanted: Mapping[str, float],
    _verify: Verify,
    _bounds: Bounds,
) -> None:
    """Read the Python, JSON and TOML files that each step changed, and what was there before."""
    archives = await _checkpoints(store, changes)
    touched = {path.path for change in changes for path in change.paths if path.path.endswith(LOOKED_AT)}
    versions = [_files(package.workspace_archive(), touched)]
    versions += [_files(archive, touched) for archive in archives]
    texts = list({(path, data) for version in versions for path, data in version.items()})
    looks = dict(zip(texts, await look_at([(path, data) for path, data in texts]), strict=True))
    now = {path: looks[path, data] for path, data in versions[0].items()}
    for change, version in zip(changes, versions[1:], strict=True):
        after = {path.path: Look() for path in change.paths if path.path in touched}
        after |= {path: looks[path, data] for path, data in version.items()}
        found.add(change.index, file_parts(now, after), wanted)
        now |= after


async def _checkpoints(store: ArtifactStore, changes: Sequence[Change]) -> list[bytes]:
    archives: list[bytes] = []
    for change in changes:
        if change.checkpoint is None:
            raise _Unmeasured(f"no checkpoint was kept of step {change.index}")
        archives.append(await store.get(change.checkpoint.uri))
    return archives


def _files(archive: bytes, wanted: set[str]) -> dict[str, bytes]:
    """The wanted plain files of an archive that nobody trusts."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:*") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name in wanted and member.isreg() and not member.issparse():
                    if member.size > _FILE_BYTES:
                        raise _Unmeasured(f"{name} has more than {_FILE_BYTES // 1024} KiB")
                    file = tar.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _Unmeasured(f"a checkpoint cannot be read: {one_line(error)}") from error
    return found


async def look_at(texts: Sequence[tuple[str, bytes]]) -> list[Look]:
    """Have files looked at in a process of its own, unprivileged and bounded.

    Raises:
        OSError: it did not come to an end, or there is too much to read.
    """
    if sum(len(data) for _, data in texts) > _ALL_BYTES:
        raise OSError(f"the files that changed have more than {_ALL_BYTES >> 20} MiB")
    asked = json.dumps([(path, base64.b64encode(data).decode()) for path, data in texts])
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-I", str(Path(look_at_files.__file__))]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            said, _ = await process.communicate(asked.encode())
    except TimeoutError as error:
        raise OSError("the files that changed could not be read in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise OSError(f"reading the files that changed ended with {process.returncode}")
    return [Look(broken, findings) for broken, findings in json.loads(said)]
