"""Whole invoices."""

from decimal import Decimal

from billing.money import amount, line_total, to_cents


def summary(lines, tax_percent=0, discount_percent=0):
    """Return net, tax and total of an invoice.

    ``lines`` is a list of ``(quantity, unit_price)`` pairs.
    """
    net = sum((Decimal(line_total(quantity, unit_price)) for quantity, unit_price in lines), Decimal("0.00"))
    net -= to_cents(net * amount(discount_percent) / 100)
    tax = to_cents(net * amount(tax_percent) / 100)
    return {"net": str(net), "tax": str(tax), "total": str(net + tax)}


def invoice_total(lines, tax_percent=0, discount_percent=0):
    """Return what the customer pays."""
    return summary(lines, tax_percent, discount_percent)["total"]
