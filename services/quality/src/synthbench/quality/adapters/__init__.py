"""The checks that are installed, and the tables of quality."""
