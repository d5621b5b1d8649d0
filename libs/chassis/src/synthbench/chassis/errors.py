"""Errors of the chassis, and the words by which a handler tells it what to do with a message.

A message for people is one line: the cause, then how to mend it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # errors are imported by every command, most of which need no records
    from synthbench.contracts.records import FieldError


class ChassisError(Exception):
    """Base of what the chassis raises."""


class Transient(ChassisError):
    """An outage of what we depend on. It passes: work is retried without end and never counted against a message."""


class BusUnavailable(Transient):
    """NATS did not take, answer or deliver within the time that was given."""


class SettingsError(ChassisError):
    """Settings that do not fit. One line for each: name, where the value came from, and how to mend it."""


class TopologyError(ChassisError):
    """The streams or durables are not as the registry wants them, and cannot be made so."""


class RequestRefused(ChassisError):
    """The other side answered a request with an error. `errors` says field by field what was wrong, if it was that."""

    def __init__(self, message: str, errors: "list[FieldError] | None" = None) -> None:
        super().__init__(message)
        self.errors = errors or []


class Retry(ChassisError):
    """Raised by a handler: not now, deliver again after `delay` seconds. Never counted against the message."""

    def __init__(self, reason: str, *, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


class Drop(ChassisError):
    """Raised by a handler: the message has no meaning any more (closed, cancelled); acknowledge it and say why."""


class Poison(ChassisError):
    """Raised by a handler: no retry can help. The message goes to the dead letters at once."""


def one_line(error: BaseException) -> str:
    """Return `Kind: message` on one line, for logs and dead letters."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
