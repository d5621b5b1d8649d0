"""Errors by what should happen next: the consumer reads the decision off the type (see `settle`)."""


class SettingsError(Exception):
    """A setting is missing or wrong; one line for each. Nothing can start."""


class Transient(Exception):
    """Infrastructure is away for a while. The message is delivered again, without end: an outage costs time only."""


class BusUnavailable(Transient):
    """NATS did not answer in time, or did not store the message."""


class RequestRefused(Exception):
    """The other side of a request answered that it cannot be served."""


class Retry(Exception):
    """A handler wants the message again after `delay` seconds; it is not counted against it."""

    def __init__(self, reason: str, *, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


class Drop(Exception):
    """The message is of no use any more (its rollout is closed, …): acknowledge and forget it."""


class Poison(Exception):
    """The message can never be handled: to the dead letters at once."""
