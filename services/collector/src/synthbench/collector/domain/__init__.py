"""Decisions of the collector, without I/O."""
