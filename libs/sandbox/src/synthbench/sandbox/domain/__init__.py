"""The decisions of a sandbox, without any I/O."""
