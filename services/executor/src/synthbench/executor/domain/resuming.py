"""The starting point of an attempt: the task's own workspace, or steps that were made before. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from synthbench.contracts.loose import as_list
from synthbench.contracts.steps import ModelCall, Step, StepOrigin

_SAME_STEP = 2
"""Attempts that ended before the same step, from which on the rollout is tried from the very beginning."""
_TOLD_PATHS = 10
_NEVER_KEPT = ("processes that were running in the background", "what lay in the home folder and in /tmp")
"""A checkpoint holds the workspace alone."""


@dataclass(frozen=True)
class AttemptJournal:
    """The journal that an earlier attempt of the rollout left."""

    attempt: int
    steps: tuple[Step, ...]
    """The longest unbroken prefix whose digests hold."""
    scaffold_version: str = ""
    """The version of the scaffold that made the steps."""
    given_back: bool = False
    """Whether a draining executor gave it back: no failure, wherever it stopped."""


@dataclass(frozen=True)
class StartingPoint:
    """The steps that an attempt begins after; without steps it begins with the task's own workspace."""

    steps: tuple[Step, ...] = ()
    """What was done already, each step with its origin; to be sealed anew as steps of this attempt."""
    attempt: int | None = None
    """The attempt of this rollout that is resumed; None at a fork."""

    @property
    def resumed_from(self) -> int | None:
        """Index of the last step that is taken over."""
        return self.steps[-1].index if self.steps else None

    @property
    def lost(self) -> list[str]:
        """One line for each thing that is not as it was after the last step."""
        if not self.steps:
            return []
        return [*_NEVER_KEPT, *(f"{path}: {why}" for path, why in _left_out(self.steps).items())]

    @property
    def note(self) -> str:
        """A note for the agent about the restored sandbox; empty where the agent sees no difference.

        A fork is silent about processes: its conversation stays the one that the forked trajectory had.
        """
        paths = _left_out(self.steps)
        sentences: list[str] = []
        if self.attempt is not None and self.steps:
            sentences.append(
                "The sandbox was made anew. The files of the workspace are as they were; processes that were running "
                "are gone, and the home folder and /tmp are empty."
            )
        if paths:
            named = ", ".join(list(paths)[:_TOLD_PATHS])
            sentences.append(f"These could not be brought back: {named}" + (" …" if len(paths) > _TOLD_PATHS else ""))
        return " ".join(sentences)


def choose_journal(journals: Sequence[AttemptJournal], scaffold_version: str) -> AttemptJournal | None:
    """Choose the earlier attempt that is resumed: the one that came furthest, the latest of those.

    None where nothing was done, where another version of the scaffold did it, or where two attempts failed before the
    same step: it may be what kills them.
    """
    usable = [journal for journal in journals if journal.steps and journal.scaffold_version == scaffold_version]
    if not usable:
        return None
    best = max(usable, key=lambda journal: (len(journal.steps), journal.attempt))
    there = sum(len(journal.steps) == len(best.steps) and not journal.given_back for journal in journals)
    return None if there >= _SAME_STEP else best


def taken_over(step: Step, rollout_id: UUID, attempt: int) -> Step:
    """Return a copy of a step that names where it was made first; its new attempt seals it."""
    origin = step.copied_from or StepOrigin(rollout_id=rollout_id, attempt=attempt, index=step.index)
    return step.model_copy(update={"copied_from": origin})


def request_messages(before: Sequence[dict[str, Any]], call: ModelCall | None) -> list[dict[str, Any]]:
    """Return all messages of a recorded model call's request.

    Args:
        before: the messages of the request before it.
        call: the call as its step recorded it, which may hold only the messages that are new; None for no call.
    """
    if call is None:
        return list(before)
    new = as_list(json.loads(call.messages))
    return new if call.whole else [*before, *new]


def _left_out(steps: Sequence[Step]) -> dict[str, str]:
    """Paths that no checkpoint holds, by their last word: what was deleted or replaced later is not missed."""
    found: dict[str, str] = {}
    for step in steps:
        for change in step.state.changed:
            found.pop(change.path, None)
        found |= step.state.left_out
    return found
