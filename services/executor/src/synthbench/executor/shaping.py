"""The rewards of an attempt: its verification, and what the files after each step say, taken from their checkpoints."""

import asyncio
import base64
import io
import json
import sys
import tarfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from synthbench.chassis.errors import ChassisError, one_line
from synthbench.contracts.rewards import STEPWISE, Rewards, StepRewards, weighed
from synthbench.contracts.verification import VerificationResult
from synthbench.executor import file_checks
from synthbench.executor.domain.shaping import (
    LOOKED_AT,
    FileFindings,
    WorkspaceChange,
    evenly,
    file_parts,
    passing,
    state_after,
    test_parts,
    whole_parts,
)
from synthbench.sandbox.errors import SandboxError
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound
from synthbench.tasks import TaskPackage

_LOOK_SECONDS = 40.0
_FILE_BYTES = 256 * 1024
_ALL_BYTES = 32 * 1024 * 1024
_BY_TESTS, _BY_FILES = ("progress", "regression"), ("parses", "lint")
Verify = Callable[[Sequence[bytes]], Awaitable[VerificationResult]]
"""Runs the hidden tests against the workspace with these archives applied, one after the other."""


@dataclass(frozen=True)
class ShapingBounds:
    """The limits on measuring rewards after single steps."""

    states: int
    """The most steps after which the hidden tests are run."""
    seconds: float


class _Unmeasured(Exception):
    """A reward part could not be measured, for the reason in the message."""


@dataclass(frozen=True)
class RewardInputs:
    """The inputs from which the reward parts of an attempt follow."""

    package: TaskPackage
    store: ArtifactStore
    """The store that has the checkpoints."""
    changes: Sequence[WorkspaceChange]
    """The changes of the steps that changed files, in order."""
    result: VerificationResult
    """The attempt's verification, without an error."""
    steps: int
    """Taken by the attempt."""
    verify: Verify


async def measure(evidence: RewardInputs, weights: Mapping[str, float], bounds: ShapingBounds) -> Rewards:
    """Measure what the weights name, and the parts of the whole anyway.

    Returns:
        The rewards; what could not be measured is in `missing`, and nothing is raised for it.
    """
    own = evidence.package.own
    expected = own.expected_steps if "expected_steps" in own.model_fields_set else None
    parts = whole_parts(evidence.result, steps=evidence.steps, expected_steps=expected)
    shaping = _Shaping(evidence, weights, bounds)
    for names, measured in ((_BY_TESTS, shaping.by_tests), (_BY_FILES, shaping.by_files)):
        wanted = [name for name in names if name in weights]
        if not wanted:
            continue
        try:
            async with asyncio.timeout(2 * bounds.seconds):
                await measured()
        except TimeoutError:
            shaping.miss(wanted, f"not measured within {2 * bounds.seconds:g} s")
        except (_Unmeasured, ArtifactCorrupt, ArtifactNotFound, SandboxError, ChassisError, OSError) as error:
            shaping.miss(wanted, one_line(error))
    absent = {name: _why_absent(name) for name in weights if name not in parts and name not in STEPWISE}
    by_step = [StepRewards(index=index, parts=one) for index, one in sorted(shaping.steps.items())]
    return weighed(Rewards(parts=parts, steps=by_step, missing={**shaping.missing, **absent}), weights)


def _why_absent(name: str) -> str:
    return "the task names no expected steps" if name == "efficiency" else "the task names no required tests"


class _Shaping:
    """Parts of steps, as far as the weights name them."""

    def __init__(self, evidence: RewardInputs, weights: Mapping[str, float], bounds: ShapingBounds) -> None:
        self._evidence = evidence
        self._weights = weights
        self._bounds = bounds
        self.steps: dict[int, dict[str, float]] = {}
        self.missing: dict[str, str] = {}

    def miss(self, names: Sequence[str], why: str) -> None:
        """Note why parts are missing; the first reason stays."""
        self.missing |= {name: why for name in names if name in self._weights and name not in self.missing}

    def _add(self, index: int, parts: Mapping[str, float]) -> None:
        kept = {name: value for name, value in parts.items() if name in self._weights}
        if kept:
            self.steps.setdefault(index, {}).update(kept)

    async def by_tests(self) -> None:
        """Run the hidden tests after the steps; the last one's run is the attempt's own."""
        evidence, bounds = self._evidence, self._bounds
        own, changes = evidence.package.own, evidence.changes
        required = frozenset({*own.fail_to_pass, *own.pass_to_pass})
        if evidence.result.forgeable or not required:
            raise _Unmeasured("its tests are of a foreign kind, and are not run a second time")
        archives = await _checkpoints(evidence.store, changes)
        until = monotonic() + bounds.seconds
        before = frozenset(own.pass_to_pass)
        seen = {state_after(()): before, state_after(changes): passing(evidence.result, required)}
        looked = evenly(len(changes), bounds.states)
        for number in looked:
            state = state_after(changes[: number + 1])
            if state not in seen:
                if monotonic() > until:
                    self.miss(_BY_TESTS, f"after {bounds.seconds:g} s only the last step was looked at")
                    continue
                tested = await evidence.verify(archives[: number + 1])
                if tested.error is not None:
                    raise _Unmeasured(f"step {changes[number].index}: {tested.error}")
                seen[state] = passing(tested, required)
            self._add(changes[number].index, test_parts(before, seen[state], len(required)))
            before = seen[state]
        if len(looked) < len(changes):
            tested_steps = f"{len(looked)} of {len(changes)} changing steps"
            self.miss(_BY_TESTS, f"tests ran after {tested_steps}; the others count with the next of those")

    async def by_files(self) -> None:
        """Read the Python, JSON and TOML files that each step changed, and what was there before."""
        changes = self._evidence.changes
        touched = {path.path for change in changes for path in change.paths if path.path.endswith(LOOKED_AT)}
        versions = [_files(self._evidence.package.workspace_archive(), touched)]
        versions += [_files(archive, touched) for archive in await _checkpoints(self._evidence.store, changes)]
        texts = list({(path, data) for version in versions for path, data in version.items()})
        looks = dict(zip(texts, await check_files(texts), strict=True))
        now = {path: looks[path, data] for path, data in versions[0].items()}
        for change, version in zip(changes, versions[1:], strict=True):
            after = {path.path: FileFindings() for path in change.paths if path.path in touched}
            after |= {path: looks[path, data] for path, data in version.items()}
            self._add(change.index, file_parts(now, after))
            now |= after


async def _checkpoints(store: ArtifactStore, changes: Sequence[WorkspaceChange]) -> list[bytes]:
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


async def check_files(texts: Sequence[tuple[str, bytes]]) -> list[FileFindings]:
    """Read files in a process of its own, unprivileged and bounded.

    Raises:
        OSError: it did not come to an end, or there is too much to read.
    """
    if sum(len(data) for _, data in texts) > _ALL_BYTES:
        raise OSError(f"the files that changed have more than {_ALL_BYTES >> 20} MiB")
    request = json.dumps([(path, base64.b64encode(data).decode()) for path, data in texts])
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-I", str(Path(file_checks.__file__))]
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            output, _ = await process.communicate(request.encode())
    except TimeoutError as error:
        raise OSError("the files that changed could not be read in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise OSError(f"reading the files that changed ended with {process.returncode}")
    return [FileFindings(broken, findings) for broken, findings in json.loads(output)]
