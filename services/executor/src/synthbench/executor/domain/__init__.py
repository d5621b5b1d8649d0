"""The decisions of the executor, without I/O."""
