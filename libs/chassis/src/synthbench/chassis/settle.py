"""How a message is settled, as a value. One place decides for every consumer."""

from dataclasses import dataclass
from enum import StrEnum

import psycopg

from synthbench.chassis.errors import Drop, Poison, Retry, Transient
from synthbench.contracts.cloudevents import MalformedEvent

MAX_DELIVERIES = 5
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0


class Action(StrEnum):
    """What is said to the server."""

    ACK = "ack"
    NAK = "nak"
    DEAD = "dead"
    """Publish to the dead letters with ack, and only then TERM."""


@dataclass(frozen=True)
class Settlement:
    """The decision on one delivery."""

    action: Action
    delay: float = 0.0
    """Seconds until the next delivery, for NAK."""
    reason: str = ""


def settle(error: BaseException | None, deliveries: int, max_deliveries: int = MAX_DELIVERIES) -> Settlement:
    """Decide from how the handler ended (None: it returned) and how often the message was delivered, from 1."""
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(deliveries - 1, 16))
    match error:
        case None:
            return Settlement(Action.ACK)
        case Drop():
            return Settlement(Action.ACK, reason=str(error))
        case Retry():
            return Settlement(Action.NAK, error.delay, str(error))
        case Poison() | MalformedEvent():
            return Settlement(Action.DEAD, reason=str(error))
        case Transient() | psycopg.OperationalError() | psycopg.InterfaceError():
            return Settlement(Action.NAK, pause, str(error))
        case Exception() if deliveries >= max_deliveries:
            return Settlement(Action.DEAD, reason=f"{type(error).__name__}: {error}")
        case _:
            return Settlement(Action.NAK, pause, f"{type(error).__name__}: {error}")
