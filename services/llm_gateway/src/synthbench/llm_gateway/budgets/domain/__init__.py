"""The decisions about budgets, without I/O."""
