"""Keeps every step and builds the stored trajectories."""
