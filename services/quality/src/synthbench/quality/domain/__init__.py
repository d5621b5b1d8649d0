"""The checks and the policy, without I/O."""
