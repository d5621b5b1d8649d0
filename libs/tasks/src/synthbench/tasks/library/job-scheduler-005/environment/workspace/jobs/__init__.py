"""A small scheduler of jobs that depend on one another."""
