"""Embedded mode: a whole stack on one machine, one process for each service; all end with their supervisor."""
