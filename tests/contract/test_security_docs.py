"""The pages on security name tests that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:libs|services|tests)/[\w/.-]+?\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("page", ["README.md", "bus.md"])
def test_every_test_that_a_page_names_exists(page: str):
    named = NAMED.findall((ROOT / "docs/security" / page).read_text())
    missing = [
        f"{path}::{test}" if test else path
        for path, test in named
        if not (ROOT / path).exists() or (test and f"def {test}(" not in (ROOT / path).read_text())
    ]
    assert named
    assert missing == []


def test_every_promise_names_its_control_and_a_test():
    rows = [line for line in (ROOT / "docs/security/README.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if "---" not in row and not row.startswith(("| it cannot", "| he cannot", "| kind"))]
    assert len(rows) >= 40
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert all(cells), row
        assert NAMED.search(cells[-1]), row
