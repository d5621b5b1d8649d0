"""The scheduler's outside world."""
