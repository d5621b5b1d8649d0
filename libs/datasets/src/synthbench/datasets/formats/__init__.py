"""Formats of others, derived from the canonical trajectory and never the other way round. Pure."""
