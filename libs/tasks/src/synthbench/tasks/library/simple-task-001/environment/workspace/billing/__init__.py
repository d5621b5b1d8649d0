"""Invoices of a small shop."""

from billing.invoice import invoice_total, summary
from billing.money import line_total

__all__ = ["invoice_total", "line_total", "summary"]
