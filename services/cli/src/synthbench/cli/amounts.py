"""Amounts of money, as people type and read them."""

import math

from synthbench.cli.errors import CliError

MICRO = 1_000_000
"""Micro-dollars of a US dollar."""


def microusd(option: str, usd: float) -> int:
    """US dollars as typed, in millionths.

    Raises:
        CliError: it is no amount, or a negative one; names the option.
    """
    if not math.isfinite(usd * MICRO) or usd < 0:
        raise CliError(f"{option}: an amount in US dollars that is not negative, not {usd:g}", exit_code=2)
    return round(usd * MICRO)


def cost_text(microusd: int, *, known: bool) -> str:
    """US dollars for people; what is not known is never a figure that looks like one that is."""
    if known:
        return f"${microusd / 1e6:.4f}"
    return f"at least ${microusd / 1e6:.4f}" if microusd else "cost unknown"
