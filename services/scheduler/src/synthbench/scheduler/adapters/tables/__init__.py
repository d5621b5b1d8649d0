"""The scheduler's tables: a typed class for each, whose statements lie in the .sql file beside it."""
