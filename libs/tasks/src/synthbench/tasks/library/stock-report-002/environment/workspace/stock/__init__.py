"""Stock of a small warehouse."""
