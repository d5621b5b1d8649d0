"""Finds near-duplicates and curates."""
