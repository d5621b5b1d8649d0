"""The collector's access to its tables, and Arrow."""
