"""How a message is settled: the whole table."""

import asyncio

import psycopg
import pytest

from synthbench.chassis import settle as rules
from synthbench.chassis.errors import BusUnavailable, Drop, Poison, Retry, Transient
from synthbench.chassis.settle import MAX_DELIVERIES, MessageFate, counts, is_outage, settle
from synthbench.contracts.cloudevents import MalformedEvent

MANY = 1000


@pytest.mark.parametrize(
    ("error", "deliveries", "failures", "fate"),
    [
        (None, 1, 0, MessageFate.ACK),
        (None, MANY, MANY, MessageFate.ACK),
        (Drop("closed"), 1, 1, MessageFate.ACK),
        (Retry("busy"), 1, 0, MessageFate.NAK),
        (Retry("busy"), MANY, MANY, MessageFate.NAK),
        (Poison("no way"), 1, 1, MessageFate.DEAD),
        (MalformedEvent("no JSON"), 1, 1, MessageFate.DEAD),
        (ValueError("bug"), 1, 1, MessageFate.NAK),
        (ValueError("bug"), MANY, MAX_DELIVERIES - 1, MessageFate.NAK),
        (ValueError("bug"), MAX_DELIVERIES, MAX_DELIVERIES, MessageFate.DEAD),
        (Transient("away"), MANY, MANY, MessageFate.NAK),
        (BusUnavailable("away"), MANY, MANY, MessageFate.NAK),
        (psycopg.OperationalError("server closed the connection"), MANY, MANY, MessageFate.NAK),
        (psycopg.InterfaceError("the connection is closed"), MANY, MANY, MessageFate.NAK),
        (psycopg.errors.UniqueViolation("a bug of ours"), MANY, MANY, MessageFate.DEAD),
        (asyncio.CancelledError(), MANY, MANY, MessageFate.NAK),
    ],
)
def test_the_end_of_the_handler_decides(error: BaseException | None, deliveries: int, failures: int, fate: MessageFate):
    assert settle(error, deliveries, failures).fate is fate


def test_a_retry_waits_as_long_as_the_handler_says():
    assert settle(Retry("busy", delay=7.5), 1, 0).delay == 7.5


def test_pauses_double_up_to_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "_FIRST_PAUSE", 0.2)
    monkeypatch.setattr(rules, "_LONGEST_PAUSE", 30.0)
    pauses = [settle(Transient("away"), deliveries, 0).delay for deliveries in (1, 2, 3, 9, 10**6)]
    assert pauses == [0.2, 0.4, 0.8, 30.0, 30.0]


def test_the_reason_is_one_line():
    assert settle(ValueError("one\n  two"), 1, 1).reason == "ValueError: one two"
    assert settle(Drop(""), 1, 0).reason == "dropped"


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (ValueError(), True), (Poison("x"), True), (Drop("x"), True), (MalformedEvent("x"), True),
        (Retry("x"), False), (Transient("x"), False), (psycopg.OperationalError(), False),
        (asyncio.CancelledError(), False),
    ],
)  # fmt: skip
def test_what_counts_against_a_message(error: BaseException, counted: bool):
    assert counts(error) is counted


def test_outages():
    assert is_outage(Transient("x"))
    assert not is_outage(Retry("x"))
    assert not is_outage(TimeoutError())
