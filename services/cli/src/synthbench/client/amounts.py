"""Amounts of money and time, as people type and read them."""

import math

from synthbench.client.errors import CliError

MICRO = 1_000_000
"""Millionths of a US dollar in one."""
_MINUTE, _HOUR = 60, 3600


def microusd(option: str, usd: float) -> int:
    """Return US dollars as typed, in millionths.

    Raises:
        CliError: it is no amount, or a negative one; names the option.
    """
    if not math.isfinite(usd * MICRO) or usd < 0:
        raise CliError(f"{option}: an amount in US dollars that is not negative, not {usd:g}", exit_code=2)
    return round(usd * MICRO)


def cost_text(microusd: int, *, known: bool) -> str:
    """Return US dollars for people; a cost that is not known never looks like one that is."""
    if known:
        return f"${microusd / 1e6:.4f}"
    return f"at least ${microusd / 1e6:.4f}" if microusd else "cost unknown"


def duration(seconds: float) -> str:
    """Return a time span for people."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
