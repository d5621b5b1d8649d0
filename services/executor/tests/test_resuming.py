"""Where an attempt begins, decided without I/O."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from synthbench.contracts.steps import ChangedPath, State, Step, StepOrigin
from synthbench.executor.domain.resuming import AttemptJournal, StartingPoint, choose_journal, taken_over

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def step(index: int, **state) -> Step:
    return Step(index=index, started_at=NOW, finished_at=NOW, state=State(**state)).sealed()


def journal(attempt: int, steps: int, version: str = "native-1", *, given_back: bool = False) -> AttemptJournal:
    return AttemptJournal(attempt, tuple(step(index) for index in range(steps)), version, given_back=given_back)


@pytest.mark.parametrize(
    ("journals", "chosen"),
    [
        ([], None),
        ([journal(1, 0)], None),
        ([journal(1, 4)], 1),
        ([journal(1, 4), journal(2, 6)], 2),
        ([journal(1, 6), journal(2, 4)], 1),  # the second one died while it took over
        ([journal(1, 4, "native-0")], None),
        ([journal(1, 6, "native-0"), journal(2, 3)], 2),
        ([journal(1, 4), journal(2, 4)], None),  # twice before the same step
        ([journal(1, 4, given_back=True), journal(2, 4, given_back=True)], 2),
        ([journal(1, 4), journal(2, 4, given_back=True)], 2),
        ([journal(1, 4), journal(2, 4), journal(3, 2)], None),
        ([journal(1, 4), journal(2, 4), journal(3, 7)], 3),
    ],
    ids=str,
)
def test_the_one_that_came_furthest_is_resumed_unless_the_next_step_kills(
    journals: list[AttemptJournal], chosen: int | None
):
    best = choose_journal(journals, "native-1")
    assert (best.attempt if best else None) == chosen


def test_a_copy_of_a_copy_names_the_first_maker():
    rollout, other = uuid4(), uuid4()
    copy = taken_over(step(3), rollout, 1)
    assert copy.copied_from == StepOrigin(rollout_id=rollout, attempt=1, index=3)
    assert taken_over(copy, other, 7).copied_from == copy.copied_from


def test_what_is_lost_is_told_to_the_agent_only_where_it_would_notice():
    quiet, lossy = step(0), step(1, left_out={"a b: c": "is a device"})
    mended = step(2, changed=[ChangedPath(path="a b: c", kind="deleted")])
    assert (StartingPoint().lost, StartingPoint().note) == ([], "")
    assert StartingPoint((quiet,), attempt=1).lost == [
        "processes that were running in the background", "what lay in the home folder and in /tmp"
    ]  # fmt: skip
    assert "are gone, and the home folder and /tmp are empty" in StartingPoint((quiet,), attempt=1).note
    assert StartingPoint((quiet,)).note == ""  # a fork's conversation stays the one that it forks
    assert StartingPoint((quiet, lossy)).note == "These could not be brought back: a b: c"
    assert "a b: c: is a device" in StartingPoint((quiet, lossy)).lost
    assert StartingPoint((quiet, lossy, mended)).note == ""
