"""The collector's outside world."""
