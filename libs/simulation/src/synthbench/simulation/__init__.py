"""Simulated models: programmatic policies that work on a task as an agent's model does, by task package and seed."""
