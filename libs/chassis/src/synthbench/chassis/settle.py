"""The decision how a message is settled, as a value, for every kind of consumer. Pure."""

import sys
from dataclasses import dataclass
from enum import StrEnum

from synthbench.chassis.errors import Drop, Poison, Retry, Transient, one_line
from synthbench.contracts.cloudevents import MalformedEvent

MAX_DELIVERIES = 5
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 30.0


class MessageFate(StrEnum):
    """The ways in which a delivery can be settled."""

    ACK = "ack"
    NAK = "nak"
    DEAD = "dead"
    """It is published to the dead letters with an acknowledgement, and only then terminated (TERM)."""


@dataclass(frozen=True)
class SettleDecision:
    """The decision on one delivery."""

    fate: MessageFate
    delay: float = 0.0
    """Seconds until the next delivery, for NAK."""
    reason: str = ""


def settle(
    error: BaseException | None, deliveries: int, failures: int, max_deliveries: int = MAX_DELIVERIES
) -> SettleDecision:
    """Decide from how the handler ended.

    Args:
        error: None if the handler returned.
        deliveries: how often the server delivered the message, from 1; spaces the retries.
        failures: how often it failed for a reason that counts, this time included. Outages and wished-for retries
            raise the server's count of deliveries as well, and must never bring a message to the dead letters.
        max_deliveries: failures after which the message is given up.
    """
    pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(deliveries - 1, 16))
    match error:
        case None:
            decision = SettleDecision(MessageFate.ACK)
        case Drop():
            decision = SettleDecision(MessageFate.ACK, reason=str(error) or "dropped")
        case Retry():
            decision = SettleDecision(MessageFate.NAK, error.delay, str(error))
        case Poison() | MalformedEvent():
            decision = SettleDecision(MessageFate.DEAD, reason=one_line(error))
        case Exception() if not is_outage(error) and failures >= max_deliveries:
            decision = SettleDecision(MessageFate.DEAD, reason=one_line(error))
        case _:
            decision = SettleDecision(MessageFate.NAK, pause, one_line(error))
    return decision


def counts(error: BaseException) -> bool:
    """Say whether a failure counts against the message."""
    return isinstance(error, Exception) and not isinstance(error, Retry) and not is_outage(error)


def is_outage(error: BaseException) -> bool:
    """Say whether it is an outage of what we depend on, psycopg's own errors of a lost server included."""
    psycopg = sys.modules.get("psycopg")  # a service without a database shall not pay for its import
    return isinstance(error, Transient) or (
        psycopg is not None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    )
