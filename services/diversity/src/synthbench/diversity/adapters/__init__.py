"""Diversity's side to Postgres."""
