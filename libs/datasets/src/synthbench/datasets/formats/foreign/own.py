"""Reads records that synth-bench exported, as JSON or inside ATIF."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from synthbench.contracts.ids import derived_id
from synthbench.contracts.loose import as_object
from synthbench.contracts.steps import Step
from synthbench.contracts.trajectory import Trajectory
from synthbench.datasets.formats.foreign.building import (
    POOL,
    ForeignError,
    Source,
    check_steps,
    first_problem,
    labelled,
    sealed_in_order,
)
from synthbench.datasets.formats.provenance import resolved_of

_OURS_ALONE = ("verification", "rewards", "diff", "kept")
"""Fields about work that another catalogue verified and keeps; an import leaves them out."""


@dataclass
class OwnRecord:
    """An exported trajectory of synth-bench. Its own facts stay; its verification does not, as it was not made here."""

    record: Trajectory
    left_out: Counter[str] = field(default_factory=Counter[str])

    def trajectory(self, source: Source, form: str) -> Trajectory:
        """The record, as `ForeignDocument.trajectory` says."""
        record = self.record
        check_steps(list(record.steps))
        resolved = resolved_of(record) if source.resolved is None else source.resolved
        rollout = record.rollout.model_copy(
            update={
                "rollout_id": source.rollout_id,
                "submission_id": derived_id("imported", source.campaign, source.digest),
                "campaign": source.campaign,
                "pool": POOL,
                "forked_from": None,
            }
        )
        return Trajectory(
            trajectory_id=derived_id("trajectory", source.rollout_id, 1),
            rollout=rollout,
            attempt=1,
            context=record.context,
            steps=sealed_in_order([_without_references(step) for step in record.steps]),
            outcome=labelled(record.outcome, resolved),
            detail=record.detail,
            incomplete=record.incomplete,
            patch=record.patch,
            usage=record.usage,
            timing=record.timing,
            started_at=record.started_at,
            finished_at=record.finished_at,
            imported=source.imported(form, resolved, self.left_out + _left_out(record)),
        )


def read_record(document: Any, source: Source) -> OwnRecord:  # noqa: ARG001 - as the other readers
    """Read the canonical record.

    Raises:
        ForeignError: it is no record.
    """
    found = as_object(document)
    try:
        return OwnRecord(Trajectory.model_validate(found))
    except ValidationError as error:
        raise ForeignError(first_problem(error)) from error


def _without_references(step: Step) -> Step:
    """Return a step without references to another catalogue's artifacts and trajectories."""
    return step.model_copy(update={"copied_from": None, "state": step.state.model_copy(update={"checkpoint": None})})


def _left_out(record: Trajectory) -> Counter[str]:
    """Count what is valid only in the catalogue that the record comes from, and what was left out before."""
    found = Counter(name for name in _OURS_ALONE if getattr(record, name))
    found["rollout.forked_from"] = int(record.rollout.forked_from is not None)
    found["steps[].state.checkpoint"] = sum(step.state.checkpoint is not None for step in record.steps)
    found["steps[].copied_from"] = sum(step.copied_from is not None for step in record.steps)
    if record.reward and record.verification is None:
        found["reward"] = 1
    return +found + Counter(record.imported.left_out if record.imported else {})
