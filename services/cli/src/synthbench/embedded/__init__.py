"""Embedded mode: the whole stack on one machine, one process for each service, children that die with their parent."""
