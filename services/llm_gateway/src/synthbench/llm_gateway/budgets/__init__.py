"""Budgets: money is leased to this replica, set aside before each model call, and counted after it."""
