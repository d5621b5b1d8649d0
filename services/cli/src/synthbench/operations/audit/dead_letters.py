"""Dead letters that hold back work: of a rollout that is not at its end, or of a submission that got no answer."""

import base64
from collections.abc import AsyncGenerator, Sequence
from typing import Any
from uuid import UUID

import psycopg

from synthbench.chassis.bus import Bus
from synthbench.chassis.dead import KeptLetter, list_dead
from synthbench.contracts import cloudevents
from synthbench.contracts.cloudevents import MalformedEvent
from synthbench.contracts.events import CancelRequested, TaskSubmitted
from synthbench.contracts.model import Record
from synthbench.operations.audit.findings import CULPRITS, RECORD, Finding
from synthbench.storage.artifacts import ArtifactStore
from synthbench.storage.errors import ArtifactCorrupt, ArtifactNotFound


async def check_dead_letters(
    connection: psycopg.AsyncConnection[Any], bus: Bus, store: ArtifactStore
) -> AsyncGenerator[Finding]:
    """Read every dead letter, and compare it with the state of its rollout or submission."""
    letters = [letter async for letter in list_dead(bus)]
    held_back = await _held_back(connection, store, letters)
    yield Finding("no dead letter holds back work", held_back[:CULPRITS], f"{len(letters)} read")


async def _held_back(
    connection: psycopg.AsyncConnection[Any], store: ArtifactStore, letters: Sequence[KeptLetter]
) -> list[str]:
    """Return the letters about work that is not at its end, or that was never answered."""
    bodies = [(kept, await _body(store, kept)) for kept in letters]
    ids = {
        name: list({value for _, body in bodies if isinstance(value := getattr(body, f"{name}_id", None), UUID)})
        for name in ("rollout", "submission")
    }
    values = {"rollouts": ids["rollout"], "submissions": ids["submission"]}
    open_rows = await (await connection.execute(RECORD["unfinished_rollouts"], values)).fetchall()
    rollouts = {row["rollout_id"]: row["state"] for row in open_rows}
    submissions = {row["submission_id"] for row in open_rows}
    known = {
        row["submission_id"] for row in await (await connection.execute(RECORD["known_submissions"], values)).fetchall()
    }
    found: list[str] = []
    for kept, body in bodies:
        rollout, submission = getattr(body, "rollout_id", None), getattr(body, "submission_id", None)
        why = ""
        if isinstance(body, TaskSubmitted):
            why = "" if submission in known else "a submission was never answered"
        elif rollout is not None:
            why = f"rollout {rollout} is {rollouts[rollout]}" if rollout in rollouts else ""
        elif submission in submissions:
            why = f"submission {submission} is open"
        elif isinstance(body, CancelRequested) and body.campaign is not None:
            why = f"campaign {body.campaign} was not cancelled"
        if why:
            found.append(f"dead letter {kept.sequence} of {kept.letter.consumer}: {why}")
    return found


async def _body(store: ArtifactStore, kept: KeptLetter) -> Record | None:
    """Return the event of a letter; None where it holds none: that was answered, or is nobody's work."""
    letter = kept.letter
    headers, payload = cloudevents.lowered(letter.headers), base64.b64decode(letter.payload)
    try:
        reference = cloudevents.reference_of(headers, payload)
        payload = await store.get(reference.uri) if reference else payload
        envelope = cloudevents.decode(
            letter.subject, headers, payload, sequence=lambda: letter.stream_sequence, stream=letter.stream
        )
    except (MalformedEvent, ArtifactNotFound, ArtifactCorrupt):
        return None
    if isinstance(envelope.body, TaskSubmitted) and envelope.body.submission_id is None:
        return envelope.body.model_copy(update={"submission_id": envelope.id})
    return envelope.body
