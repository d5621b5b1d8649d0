"""The journal of an attempt in the artifact store: what its executor writes before it publishes, under write-once keys.

`journal/<rollout>/<attempt>/started`, `…/000000`, `…/000001`, …, `…/finished`; each holds the event's JSON.
"""

from uuid import UUID

from synthbench.contracts.events.attempts import AttemptFinished, AttemptStarted, StepRecorded
from synthbench.contracts.ids import derived_id
from synthbench.contracts.registry import BY_BODY

JournalEvent = AttemptStarted | StepRecorded | AttemptFinished


def journal_prefix(rollout_id: UUID, attempt: int) -> str:
    """Return the prefix of all keys of an attempt."""
    return f"journal/{rollout_id}/{attempt}/"


def verification_key(asker: str, verification_id: UUID) -> str:
    """Return the key of the one answer to a `verification.requested`: asked again, an executor answers the same.

    By its asker: nobody can ask first what another one will ask, and so choose the answer.
    """
    return f"verifications/{asker}/{verification_id}"


def journal_key(event: JournalEvent) -> str:
    """Return the key of an event."""
    match event:
        case AttemptStarted():
            name = "started"
        case AttemptFinished():
            name = "finished"
        case _:
            name = f"{event.step.index:06d}"
    return journal_prefix(event.rollout_id, event.attempt) + name


def journal_event_id(event: JournalEvent) -> UUID:
    """The id under which an event is published: the same, whoever publishes it, and how often."""
    if isinstance(event, StepRecorded):
        return derived_id("step", event.rollout_id, event.attempt, event.step.index)
    return derived_id(BY_BODY[type(event)].name, event.rollout_id, event.attempt)


def read_journalled(key: str, body: bytes) -> JournalEvent:
    """Read an event back.

    Raises:
        ValueError: it is none.
    """
    models = {"started": AttemptStarted, "finished": AttemptFinished}
    return models.get(key.rpartition("/")[2], StepRecorded).model_validate_json(body)
