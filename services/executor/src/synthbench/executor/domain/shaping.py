"""Reward parts from what was seen: of the verifier, and of the tests and files after each step. Pure."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from synthbench.contracts.records import ArtifactRef
from synthbench.contracts.steps import ChangedPath, Step
from synthbench.contracts.verification import TestStatus, VerificationResult

LOOKED_AT = (".py", ".json", ".toml")


@dataclass(frozen=True)
class WorkspaceChange:
    """The paths of the workspace that one step changed."""

    index: int
    paths: tuple[ChangedPath, ...]
    checkpoint: ArtifactRef | None

    @classmethod
    def of(cls, step: Step) -> "WorkspaceChange | None":
        """None if it changed nothing."""
        state = step.state
        return cls(step.index, tuple(state.changed), state.checkpoint) if state.changed else None


@dataclass(frozen=True)
class FileFindings:
    """The problems in one version of a file; `FileFindings()` stands for a file that is not there."""

    broken: bool = False
    findings: int = 0


def whole_parts(result: VerificationResult, *, steps: int, expected_steps: int | None) -> dict[str, float]:
    """The parts of a whole attempt that its verification tells.

    Args:
        result: of the verifier.
        steps: taken by the attempt.
        expected_steps: of a good solution; None where nobody said.
    """
    required = [test for test in result.tests if test.required]
    passed = sum(test.status is TestStatus.PASSED for test in required)
    parts = {"terminal": result.reward}
    if required:
        parts["partial"] = passed / len(required)
    parts |= {
        name: result.reward_parts[name] for name in ("fail_to_pass", "pass_to_pass") if name in result.reward_parts
    }
    if expected_steps is not None:
        parts["efficiency"] = min(1.0, expected_steps / max(1, steps)) if result.reward == 1.0 else 0.0
    return parts


def passing(result: VerificationResult, required: AbstractSet[str]) -> frozenset[str]:
    """Return the required tests that passed."""
    return frozenset(test.name for test in result.tests if test.status is TestStatus.PASSED) & required


def test_parts(before: AbstractSet[str], after: AbstractSet[str], required: int) -> dict[str, float]:
    """`progress` and `regression` between two looks; what is zero is left out."""
    won, lost = len(after - before) / required, -len(before - after) / required
    return {name: value for name, value in (("progress", won), ("regression", lost)) if value}


def file_parts(before: Mapping[str, FileFindings], after: Mapping[str, FileFindings]) -> dict[str, float]:
    """`parses` and `lint` of the files in `after`; what is zero is left out."""
    parses = sum(before.get(path, FileFindings()).broken - look.broken for path, look in after.items())
    lint = sum(before.get(path, FileFindings()).findings - look.findings for path, look in after.items())
    return {name: float(value) for name, value in (("parses", parses), ("lint", lint)) if value}


def evenly(count: int, most: int) -> list[int]:
    """Choose at most `most` of the numbers 0 to `count` - 1, evenly spread, the last always among them."""
    if count <= most:
        return list(range(count))
    return sorted({count - 1 - round(number * count / most) for number in range(most)})


def state_after(changes: Sequence[WorkspaceChange]) -> frozenset[tuple[str, str, str | None]]:
    """Return the state of the workspace after these steps; equal states have equal files."""
    found: dict[str, tuple[str, str | None]] = {}
    for change in changes:
        for path in change.paths:
            found[path.path] = ("deleted", None) if path.kind == "deleted" else (path.type, path.digest)
    return frozenset((path, kind, digest) for path, (kind, digest) in found.items())
