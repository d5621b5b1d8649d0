"""Canonical text, fingerprints and the decision, without I/O."""
