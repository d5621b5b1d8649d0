"""Scores trajectories."""
