"""Tables of the command line in a pipe."""

from collections.abc import Callable
from io import StringIO

import pytest

from synthbench.cli import console
from synthbench.cli.output import ReportingConsole

Printed = Callable[[list[str], list[list[str]]], list[str]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Prints a table into a pipe and returns its lines."""
    pipe = StringIO()
    in_pipe = ReportingConsole(file=pipe, highlight=False, soft_wrap=True, width=160, force_terminal=False)
    monkeypatch.setattr(console, "out", in_pipe)

    def lines(columns: list[str], rows: list[list[str]]) -> list[str]:
        console.table(columns, rows)
        return pipe.getvalue().splitlines()

    return lines


@pytest.mark.parametrize("characters", [20, 160, 3000])
def test_no_cell_is_cut_in_a_pipe_however_wide_the_table(printed: Printed, characters: int):
    rows = [[str(number), f"consumer-{number}", "e" * characters, "12"] for number in (9, 10, 123456)]
    head, *lines = printed(["number", "consumer", "error", "failures"], rows)
    assert head.split() == ["number", "consumer", "error", "failures"]
    assert [line.split() for line in lines] == rows


def test_wide_characters_and_many_columns_stay_whole_in_a_pipe(printed: Printed):
    columns = [f"column-{number}" for number in range(60)]
    row = ["\N{CJK UNIFIED IDEOGRAPH-4E2D}" * 30, *(f"value-{number}" for number in range(59))]
    head, line = printed(columns, [row])
    assert head.split() == columns
    assert line.split() == row


def test_a_table_without_rows_prints_its_head(printed: Printed):
    assert [line.split() for line in printed(["a", "b"], [])] == [["a", "b"]]
