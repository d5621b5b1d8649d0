"""What two runs of one command may differ in."""

import pytest

from synthbench.contracts.steady import steady


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Ran 3 tests in 0.012s", "Ran 3 tests in <duration>"),
        ("real\t0m1.204s", "real\t<duration>"),
        ("5 passed in 15 ms", "5 passed in <duration>"),
        ("-rw-r--r-- 1 a a 12 Nov 24 23:29 x.py", "-rw-r--r-- 1 a a 12 <time> x.py"),
        ("2026-11-24T12:00:01.5+00:00 up", "<time> up"),
        ("[12:00:01] up", "[<time>] up"),
        ("<object at 0x7f3a5c0d10>", "<object at <address>>"),
        ("/tmp/tmpab12_xyz/a", "/tmp/<temporary>/a"),
        ("id 0190a5c0-0000-7000-8000-000000000078", "id <uuid>"),
        ("released on 2026-11-24, 3 items, 0x1f, 12 metres", "released on 2026-11-24, 3 items, 0x1f, 12 metres"),
    ],
)
def test_only_what_changes_by_itself_is_replaced(said: str, kept: str):
    assert steady(said) == kept
