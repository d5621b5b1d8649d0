"""The tables of diversity."""
