"""The executor's sides to the outside world."""
