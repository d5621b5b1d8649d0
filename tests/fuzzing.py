"""How long property tests run: seconds, or ten minutes each with FULL=1 (`make test-full`, or FULL_MINUTES)."""

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

FULL = os.environ.get("FULL") == "1"
_FULL_SECONDS = 60.0 * float(os.environ.get("FULL_MINUTES", "10"))

_OF_OTHER_THREADS = ("ignore:Do not use the `random` module inside strategies", "ignore:Generating overly large repr")
"""Services that run in threads of the test's process may take a random number while a value is drawn; hypothesis blames
its strategies for that, and prints them."""

SURROGATES = st.characters(categories=["Cs"])
_ODD = st.characters() | SURROGATES | st.sampled_from("\0\x01\x1b\x7f\x85\u2028\ufffe\\\"'%{}/")
_LONG = ["x" * 10_000, "\0" * 5_000, "ä" * 3_000]
HOSTILE_TEXT = st.text(_ODD, max_size=40) | st.sampled_from(
    ["\0", "\ud800", "a\ud83d", "\udc80" * 3, "\\u0000", "\\ud800", *_LONG]
)
"""Text as nobody means it: NUL, control characters, lone surrogates, escapes, and long ones."""

HOSTILE_NUMBER = (
    st.integers() | st.floats() | st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30, -(10**200), 1e308, float("nan")])
)
"""Numbers beyond every column, NaN and infinities included."""

HOSTILE_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | HOSTILE_NUMBER | HOSTILE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HOSTILE_TEXT, inner, max_size=4),
    max_leaves=12,
)
"""JSON values of such text and numbers."""


def fuzz(
    examples: int, *, shrink: bool = True, **strategies: st.SearchStrategy[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with values of these strategies: so many of them, or as many as FULL_MINUTES allow with FULL=1.

    Without `shrink` a failure is told as it was found, for tests that take seconds to fail.
    """
    chosen = settings(
        max_examples=examples,
        deadline=None,
        phases=[phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )

    def applied(test: Callable[..., None]) -> Callable[..., None]:
        one_round = pytest.mark.filterwarnings(*_OF_OTHER_THREADS)(chosen(given(**strategies)(test)))
        if not FULL:
            return one_round

        @functools.wraps(one_round)
        def rounds(*arguments: Any, **named: Any) -> None:
            end = time.monotonic() + _FULL_SECONDS
            while time.monotonic() < end:
                one_round(*arguments, **named)

        return pytest.mark.timeout(2 * _FULL_SECONDS + 120)(rounds)

    return applied
