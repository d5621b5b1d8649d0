"""The tests of the chassis use all fixtures of the bus."""

from bus_fixtures import chassis, log, logs, nats, open_service, own_chassis, own_nats, short_pauses, watch

__all__ = ["chassis", "log", "logs", "nats", "open_service", "own_chassis", "own_nats", "short_pauses", "watch"]
