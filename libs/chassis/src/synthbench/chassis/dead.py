"""Dead letters: looking at what was given up, and sending it again."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError

from synthbench.chassis.bus import Bus
from synthbench.chassis.errors import BusUnavailable
from synthbench.contracts.cloudevents import Message
from synthbench.contracts.events import DeadLetter
from synthbench.contracts.ids import derived_id, uuid7
from synthbench.contracts.registry import DEAD_TYPE, Stream


def dead_letter(
    message: Msg, kept: Message, consumer: str, stream: str, reason: str, failures: int, source: str
) -> tuple[UUID, Message]:
    """Return the id of a message's dead letter, and what is to be published on `dead.<stream>.<consumer>`.

    Args:
        message: as the server delivered it.
        kept: what of it is kept: the same, with its payload or a reference to it.
        consumer: that gave it up.
        stream: in which it lies.
        reason: one line.
        failures: how often it failed.
        source: who writes the letter, as a CloudEvents source.
    """
    meta = message.metadata
    letter = DeadLetter(
        stream=stream,
        consumer=consumer,
        subject=kept.subject,
        stream_sequence=meta.sequence.stream,
        headers=kept.headers,
        payload=base64.b64encode(kept.payload).decode(),
        deliveries=failures,
        error=reason,
        first_delivered_at=meta.timestamp.astimezone(UTC),
        died_at=datetime.now(UTC),
    )
    identity = derived_id("dead", consumer, meta.sequence.stream, meta.timestamp.isoformat())
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(identity),
        "ce-source": source,
        "ce-type": DEAD_TYPE,
        "ce-time": letter.died_at.isoformat(),
        "content-type": "application/json",
    }
    return identity, Message(f"dead.{stream}.{consumer}", headers, letter.to_json())


class NoSuchLetter(LookupError):
    """Nothing is kept under this number."""


@dataclass(frozen=True)
class KeptLetter:
    """A dead letter and its number in the DEAD stream."""

    sequence: int
    letter: DeadLetter


async def list_dead(bus: Bus) -> AsyncIterator[KeptLetter]:
    """Yield all dead letters, oldest first.

    Raises:
        BusUnavailable: the stream cannot be read.
    """
    try:
        state = (await bus.js.stream_info(Stream.DEAD)).state
    except (NatsError, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"stream {Stream.DEAD}: {error or type(error).__name__}") from error
    for sequence in range(max(1, state.first_seq), state.last_seq + 1) if state.messages else ():
        try:
            yield await show_dead(bus, sequence)
        except NoSuchLetter:
            continue


async def show_dead(bus: Bus, sequence: int) -> KeptLetter:
    """Read the dead letter with this number.

    Raises:
        NoSuchLetter: there is none under this number.
        BusUnavailable: the stream cannot be read.
    """
    try:
        raw = await bus.js.get_msg(Stream.DEAD, sequence)
    except NotFoundError as error:
        raise NoSuchLetter(f"no dead letter {sequence}; `synth-bench dead list` shows what there is") from error
    except (NatsError, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"stream {Stream.DEAD}: {error or type(error).__name__}") from error
    return KeptLetter(sequence, DeadLetter.model_validate_json(raw.data or b""))


async def resend_dead(bus: Bus, sequence: int) -> DeadLetter:
    """Publish the message again where it came from, then delete the letter. Needs the rights of `topology`.

    The ce-id stays, so that consumers know it; the `Nats-Msg-Id` is new, so that the server does not drop it as a
    duplicate. An event that several services read is seen again by all of them, which idempotent handlers bear.

    Raises:
        NoSuchLetter, BusUnavailable: see `show_dead`.
    """
    letter = (await show_dead(bus, sequence)).letter
    headers = {key: value for key, value in letter.headers.items() if not key.lower().startswith("nats-")}
    message = Message(letter.subject, headers, base64.b64decode(letter.payload))
    await bus.publish_message(message, msg_id=str(uuid7()), stream=letter.stream)
    try:
        await bus.js.delete_msg(Stream.DEAD, sequence)
    except (NatsError, JetStreamError, TimeoutError) as error:
        raise BusUnavailable(f"sent again, but the letter {sequence} could not be deleted: {error}") from error
    return letter
