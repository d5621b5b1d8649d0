"""Whose failure an unexpected exception is."""

import pytest

from synthbench.chassis.errors import BusUnavailable
from synthbench.contracts.ids import canonical_json
from synthbench.executor.adapters.model import cost_of
from synthbench.executor.domain.endings import AgentFailed, Draining, GaveUp, InfraFailure
from synthbench.executor.domain.fault import as_ending, is_agents
from synthbench.executor.domain.resuming import request_messages
from synthbench.sandbox.errors import ArchiveRefused, PathRefused, SandboxClosed, SandboxError
from synthbench.storage.artifacts import uri_of_digest
from synthbench.wire.turns import read_action


def raised(work) -> Exception:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("nothing was raised")


def deep(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "work",
    [
        lambda: canonical_json(deep(5000)),
        lambda: read_action({"tool_calls": [{"function": {"arguments": deep(5000)}}]}),
        lambda: request_messages([], 3),  # pyright: ignore[reportArgumentType] - no call
    ],
)
def test_what_arises_where_agents_data_is_handled_is_the_agents(work):
    error = raised(work)
    assert is_agents(error)
    ending = as_ending(error)
    assert isinstance(ending, AgentFailed)
    assert len(ending.detail) <= 500


@pytest.mark.parametrize(
    "work",
    [
        lambda: cost_of({"x-synthbench-cost-microusd": "x"}),
        lambda: uri_of_digest(None),  # pyright: ignore[reportArgumentType] - none
        lambda: int("x"),
    ],
)
def test_what_arises_in_adapters_stores_or_our_own_course_is_ours(work):
    error = raised(work)
    assert not is_agents(error)
    with pytest.raises(type(error)):
        as_ending(error)


@pytest.mark.parametrize(
    "error",
    [
        SandboxError("x"),
        SandboxClosed("x"),
        InfraFailure("x"),
        BusUnavailable("x"),
        Draining("x"),
        OSError(28, "full"),
        MemoryError(),
        KeyboardInterrupt(),
    ],
)
def test_typed_failures_are_ours_wherever_they_pass(error):
    assert not is_agents(error)


@pytest.mark.parametrize("error", [PathRefused("gone"), ArchiveRefused("a device")])
def test_files_that_were_refused_are_the_agents(error):
    assert isinstance(as_ending(error), AgentFailed)


def test_an_ending_stays_what_it_is():
    ending = GaveUp("enough")
    assert as_ending(ending) is ending
