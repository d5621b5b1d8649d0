"""The decisions about recordings, without I/O."""
