"""Sorting received steps: those to store, those that contradict another one, those that cannot be trusted. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from synthbench.collector.domain.soundness import sound_json
from synthbench.contracts.events import StepRecorded

AttemptKey = tuple[UUID, int]
"""Rollout id and attempt number."""
StepKey = tuple[UUID, int, int]
"""Rollout id, attempt number and step index."""


class ReceivedStep(NamedTuple):
    """A step whose digest holds."""

    key: StepKey
    event: StepRecorded
    text: bytes
    """The step as JSON, as it is stored."""


class RejectedStep(NamedTuple):
    """A step that is kept in `steps_aside`, and why."""

    event: StepRecorded
    reason: str


class StepBatch(NamedTuple):
    """Received steps, sorted."""

    steps: dict[AttemptKey, dict[int, ReceivedStep]]
    """The steps by attempt and index; of several with the same index the first one."""
    conflicting: list[ReceivedStep]
    """Steps whose index an earlier step of the same batch has, with another digest."""
    rejected: list[RejectedStep]
    """Steps whose content does not match their digest."""


def sort_steps(received: Iterable[tuple[StepRecorded, bytes]]) -> StepBatch:
    """Sort events, each given with the JSON payload that it was read from."""
    batch = StepBatch({}, [], [])
    for event, payload in received:
        text = sound_json(event.step, payload)
        if text is None:
            batch.rejected.append(RejectedStep(event, "the content does not match its digest"))
            continue
        index = event.step.index
        step = ReceivedStep((event.rollout_id, event.attempt, index), event, text)
        first = batch.steps.setdefault(step.key[:2], {}).setdefault(index, step)
        if first.event.step.digest != event.step.digest:
            batch.conflicting.append(step)
    return batch


def contradictions(steps: Iterable[ReceivedStep], stored_digests: Mapping[StepKey, str]) -> list[RejectedStep]:
    """Return the steps that were not stored although they are new, or differ from what is stored under their key."""
    rejected: list[RejectedStep] = []
    for step in steps:
        stored = stored_digests.get(step.key)
        if stored is None:
            rejected.append(RejectedStep(step.event, "it came after the attempt was closed and stored"))
        elif stored != step.event.step.digest:
            rejected.append(RejectedStep(step.event, f"another content is there already: {stored}"))
    return rejected
