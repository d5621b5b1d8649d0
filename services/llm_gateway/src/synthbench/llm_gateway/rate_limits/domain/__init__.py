"""The decisions about rate limits, without I/O."""
