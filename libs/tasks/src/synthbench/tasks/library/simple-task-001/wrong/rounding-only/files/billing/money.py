"""Amounts of money, as strings with two decimals at the border of the package."""

from decimal import ROUND_HALF_EVEN, Decimal

CENT = Decimal("0.01")


def amount(value):
    """Turn a number of the price list into a Decimal."""
    return Decimal(value)


def to_cents(value):
    """Round to whole cents."""
    return value.quantize(CENT, rounding=ROUND_HALF_EVEN)


def line_total(quantity, unit_price):
    """Return the total of one line, e.g. ``line_total(2, "1.50") == "3.00"``."""
    quantity = amount(quantity)
    if quantity < 0:
        raise ValueError("quantity must not be negative")
    return str(to_cents(quantity * amount(unit_price)))
