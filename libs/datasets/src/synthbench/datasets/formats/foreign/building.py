"""The result of reading a foreign document, and its conversion to a record."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from pydantic import ValidationError

from synthbench.contracts.ids import derived_id, sha256_digest
from synthbench.contracts.records import ArtifactRef, Outcome, Rollout, TaskInfo, Usage
from synthbench.contracts.sampling import Sampling
from synthbench.contracts.scaffolds import is_simulated
from synthbench.contracts.steps import Step
from synthbench.contracts.text import valid_text
from synthbench.contracts.trajectory import AttemptContext, Imported, Trajectory
from synthbench.datasets.formats.cleaning import name_of
from synthbench.datasets.formats.provenance import IMPORTED_PREFIX

POOL = "imported"
_SUFFIXES = (".traj.json", ".traj", ".jsonl", ".ndjson", ".json")


class ForeignError(ValueError):
    """A document that cannot be imported; the message says why, in one line."""


@dataclass(frozen=True)
class Source:
    """The origin of a document, and the facts that its importer gives."""

    file: str
    """Name of the file, without folders."""
    digest: str
    """`digest_of` the document."""
    number: int = 0
    """Index of the document in its file, from 0."""
    original: ArtifactRef | None = None
    campaign: str = "imported"
    resolved: bool | None = None
    """Label from a list; it wins over the document's own."""
    scaffold: str = ""
    model: str = ""
    task: str = ""

    @property
    def stem(self) -> str:
        """The file's name without the suffixes of formats."""
        return next((self.file.removesuffix(one) for one in _SUFFIXES if self.file.endswith(one)), self.file)

    @property
    def rollout_id(self) -> UUID:
        """Derived from the document's content alone, so that one document is stored once, wherever it lies."""
        return imported_rollout_id(self.digest)

    def imported(self, form: str, resolved: bool | None, left_out: Counter[str]) -> Imported:
        """The record's field `imported`."""
        return Imported(
            format=form, file=name_of(self.file), number=self.number, digest=self.digest,
            original=self.original, resolved=resolved, left_out=dict(sorted(left_out.items())),
        )  # fmt: skip


def imported_rollout_id(digest: str) -> UUID:
    """Id of the rollout that stands for an imported document of this digest."""
    return derived_id("imported", digest)


class ForeignDocument(Protocol):
    """A document that was read, in any format."""

    left_out: Counter[str]
    """Counts of fields that have no place in the record; the original document is kept as well."""

    def trajectory(self, source: Source, form: str) -> Trajectory:
        """Make the record.

        Raises:
            ForeignError: the document has no step, or a value that no record can hold.
        """
        ...


@dataclass
class ForeignTrajectory:
    """A trajectory in the terms that all foreign formats share."""

    scaffold: str
    version: str = ""
    model: str = ""
    task: str = ""
    """Id of the task in the document; the record puts a prefix before it."""
    own_task: TaskInfo | None = None
    """The task itself, where the document is an export of ours that names it."""
    instruction: str = ""
    system_prompt: str = ""
    tools: str = "[]"
    steps: list[Step] = field(default_factory=list[Step])
    usage: Usage | None = None
    """Usage of the whole run, where the document has it; else it is the sum of the steps."""
    outcome: Outcome = Outcome.UNSOLVED
    detail: str = ""
    resolved: bool | None = None
    simulated: bool = False
    sampling: Sampling = field(default_factory=Sampling)
    patch: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    left_out: Counter[str] = field(default_factory=Counter[str])

    def trajectory(self, source: Source, form: str) -> Trajectory:
        """Make the record; see `ForeignDocument`."""
        check_steps(self.steps)
        resolved = self.resolved if source.resolved is None else source.resolved
        route = name_of(source.model or self.model)
        steps = sealed_in_order(self.steps)
        try:
            return Trajectory(
                trajectory_id=derived_id("trajectory", source.rollout_id, 1),
                rollout=Rollout(
                    rollout_id=source.rollout_id,
                    submission_id=derived_id("imported", source.campaign, source.digest),
                    campaign=source.campaign,
                    task=self._task(source),
                    scaffold=name_of(source.scaffold or self.scaffold),
                    route=route,
                    pool=POOL,
                    simulated=self.simulated or is_simulated("", route),
                    sampling=self.sampling,
                ),
                attempt=1,
                context=AttemptContext(
                    instruction=self.instruction,
                    system_prompt=self.system_prompt,
                    tools=self.tools,
                    scaffold_version=name_of(self.version),
                ),
                steps=steps,
                outcome=labelled(self.outcome, resolved),
                detail=name_of(self.detail),
                patch=self.patch,
                usage=self.usage or sum((step.usage for step in steps), Usage()),
                started_at=self.started_at,
                finished_at=self.finished_at,
                imported=source.imported(form, resolved, self.left_out),
            )
        except ValidationError as error:
            raise ForeignError(first_problem(error)) from error

    def _task(self, source: Source) -> TaskInfo:
        if self.own_task is not None and not source.task:
            return self.own_task
        name = name_of(source.task or self.task or source.file)
        return TaskInfo(name=f"{IMPORTED_PREFIX}{name}", digest=sha256_digest(valid_text(self.instruction).encode()))


def check_steps(steps: list[Step]) -> None:
    """Make sure that there is something to import.

    Raises:
        ForeignError: there is no step.
    """
    if not steps:
        raise ForeignError("there is no turn of an assistant in it")


def sealed_in_order(steps: list[Step]) -> list[Step]:
    """The steps, numbered from 0, each with its digest."""
    return [step.model_copy(update={"index": index}).sealed() for index, step in enumerate(steps)]


def labelled(outcome: Outcome, resolved: bool | None) -> Outcome:
    """An outcome by its label; limits and errors stay what they are."""
    if outcome in (Outcome.SOLVED, Outcome.UNSOLVED):
        return Outcome.SOLVED if resolved else Outcome.UNSOLVED
    return outcome


def first_problem(error: ValidationError) -> str:
    """One line: where in the document the first problem is, and what."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
