"""Runs agents and verifiers inside sandboxes."""
