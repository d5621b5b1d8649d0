"""Claims, leases and closes attempts; feeds the ready queue."""
